// ONNX Runtime through its C interface; settings are those of kit/formats/onnx/session.py.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "ort_api.h"
#include "runner.h"
#include "system.h"

namespace kit {
namespace {

// On x86 with AVX2 and without VNNI, ONNX Runtime's kernels for u8 x s8 saturate silently. See
// kit/formats/onnx/saturation.py, which also has the reason not to set the option elsewhere.
bool saturates() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && !__builtin_cpu_supports("avx512vnni") &&
         !__builtin_cpu_supports("avxvnni");
#else
  return false;
#endif
}

// Whether a file is in ONNX Runtime's own format and computes in integers; finds the operator's
// name as a flatbuffer stores it, like is_quantized of kit/formats/onnx/ort_structure.py.
bool is_quantized_ort(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  static const std::string stored("\x0e\0\0\0QuantizeLinear\0", 19);
  return content.size() >= 8 && content.compare(4, 4, "ORTM") == 0 &&
         content.find(stored) != std::string::npos;
}

constexpr const char* kLibrary = "libonnxruntime.so.1";

// Loads the library. It is not linked, because an initializer of it can crash: pytorch/cpuinfo,
// which it contains, writes through a null pointer where /proc/cpuinfo describes no Arm processor
// but sysfs describes private L2 caches (pytorch/cpuinfo pull requests 398 and 418). qemu-user
// before 8.2 shows a program exactly that, on a host with such caches.
const OrtApiBase* load_library() {
  if (!cpuinfo_describes_this_architecture()) {
    throw std::runtime_error(
        "/proc/cpuinfo describes no Arm processor, and ONNX Runtime " KIT_RUNTIME_VERSION
        " crashes without one: qemu-user shows the host's; start qemu with -L FOLDER, where"
        " FOLDER/proc/cpuinfo is that of an Arm processor");
  }
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(std::string("cannot load ") + dlerror());
  void* entry = dlsym(library, "OrtGetApiBase");
  if (!entry) throw std::runtime_error(std::string("cannot use ") + dlerror());
  return reinterpret_cast<const OrtApiBase* (*)()>(entry)();
}

// ONNXTensorElementDataType of each DType, in its order.
constexpr int kTypes[] = {1, 10, 7, 6, 2, 9};

int type_of(DType dtype) { return kTypes[static_cast<size_t>(dtype)]; }

DType dtype_of(int type) {
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i] == type) return static_cast<DType>(i);
  }
  throw std::runtime_error("an output has the element type " + std::to_string(type) +
                           " of ONNX Runtime, which kit does not read");
}

class Onnx final : public Backend {
 public:
  std::optional<int64_t> prepare(const Options& options) override {
    // The wheels have a usage reporter, which writes files and starts a thread. This switch stops
    // it; DisableTelemetryEvents below is not enough.
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    const OrtApiBase* base = load_library();
    const std::string version = base->GetVersionString();
    api_ = base->GetApi(kOrtApiVersion);
    if (!api_ || version != KIT_RUNTIME_VERSION) {
      throw std::runtime_error("ONNX Runtime " + version + " is not the " KIT_RUNTIME_VERSION
                               " that this runner was built with");
    }
    check(api_->CreateEnv(kOrtLogError, "kit", &env_));
    check(api_->DisableTelemetryEvents(env_));
    check(api_->CreateSessionOptions(&settings_));
    check(api_->SetSessionLogSeverityLevel(settings_, kOrtLogError));
    check(api_->SetIntraOpNumThreads(settings_, static_cast<int>(options.threads)));
    check(api_->SetInterOpNumThreads(settings_, 1));
    check(api_->AddSessionConfigEntry(settings_, "session.intra_op.allow_spinning", "0"));
    if (saturates()) {
      check(api_->AddSessionConfigEntry(settings_, "session.x64quantprecision", "1"));
    }
    if (!options.profile.empty()) {
      check(api_->EnableProfiling(settings_, (options.profile + ".part").c_str()));
    }
    return std::nullopt;
  }

  void load(const std::string& model) override {
    if (saturates() && is_quantized_ort(model)) {
      throw std::runtime_error(
          model + " cannot be run exactly on this processor, whose int8 kernels saturate:"
          " ONNX Runtime converts no weights of a file in its own format");
    }
    check(api_->CreateSession(env_, model.c_str(), settings_, &session_));
    check(api_->GetAllocatorWithDefaultOptions(&allocator_));
    size_t inputs = 0, outputs = 0;
    check(api_->SessionGetInputCount(session_, &inputs));
    check(api_->SessionGetOutputCount(session_, &outputs));
    input_names_.resize(inputs);
    output_names_.resize(outputs);
    outputs_.resize(outputs);
    for (size_t i = 0; i < inputs; ++i) {
      check(api_->SessionGetInputName(session_, i, allocator_, &input_names_[i]));
    }
    for (size_t i = 0; i < outputs; ++i) {
      check(api_->SessionGetOutputName(session_, i, allocator_, &output_names_[i]));
    }
  }

  void bind(std::vector<Tensor>& inputs) override {
    if (inputs.size() != input_names_.size()) {
      throw std::runtime_error("the model takes " + std::to_string(input_names_.size()) +
                               " inputs, not " + std::to_string(inputs.size()));
    }
    OrtMemoryInfo* memory = nullptr;
    check(api_->CreateCpuMemoryInfo(kOrtArena, kOrtDefaultMemory, &memory));
    for (Tensor& tensor : inputs) {
      OrtValue*& value = inputs_.emplace_back(nullptr);
      const auto& shape = tensor.spec.shape;
      check(api_->CreateTensorWithDataAsOrtValue(memory, tensor.values.data(), tensor.values.size(),
                                                 shape.data(), shape.size(),
                                                 type_of(tensor.spec.dtype), &value));
    }
  }

  void run() override {
    for (OrtValue*& output : outputs_) {
      if (output) api_->ReleaseValue(output);
      output = nullptr;
    }
    check(api_->Run(session_, nullptr, input_names_.data(), inputs_.data(), inputs_.size(),
                    output_names_.data(), output_names_.size(), outputs_.data()));
  }

  std::vector<Tensor> answer() override {
    std::vector<Tensor> answers;
    for (OrtValue* output : outputs_) {
      OrtTensorInfo* info = nullptr;
      int type = 0;
      size_t rank = 0;
      void* data = nullptr;
      check(api_->GetTensorTypeAndShape(output, &info));
      check(api_->GetTensorElementType(info, &type));
      check(api_->GetDimensionsCount(info, &rank));
      std::vector<int64_t> shape(rank);
      check(api_->GetDimensions(info, shape.data(), rank));
      check(api_->GetTensorMutableData(output, &data));
      api_->ReleaseTensorTypeAndShapeInfo(info);
      answers.emplace_back(TensorSpec{dtype_of(type), shape}, data);
    }
    return answers;
  }

  // ONNX Runtime profiles a session from its creation on; kit/runners/profile.py leaves out the
  // warm-up when it reads the file.
  void begin_profile() override {}

  void write_profile(const std::string& path) override {
    char* written = nullptr;  // it appends the time to the given name
    check(api_->SessionEndProfiling(session_, allocator_, &written));
    if (std::rename(written, path.c_str()) != 0) {
      throw std::runtime_error(with_errno("cannot write " + path));
    }
  }

 private:
  void check(OrtStatus* status) const {
    if (!status) return;
    const std::string message = api_->GetErrorMessage(status);
    api_->ReleaseStatus(status);
    throw std::runtime_error(message);
  }

  const OrtApi* api_ = nullptr;
  OrtEnv* env_ = nullptr;
  OrtSessionOptions* settings_ = nullptr;
  OrtSession* session_ = nullptr;
  OrtAllocator* allocator_ = nullptr;
  std::vector<OrtValue*> inputs_;
  std::vector<OrtValue*> outputs_;
  std::vector<char*> input_names_;
  std::vector<char*> output_names_;
};

}  // namespace

const char* const format_name = "onnx";
const char* const runtime_name = "onnxruntime";
const char* const profile_kind = "onnxruntime";
std::unique_ptr<Backend> make_backend() { return std::make_unique<Onnx>(); }

}  // namespace kit
