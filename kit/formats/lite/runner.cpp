// PyTorch's Lite Interpreter on qnnpack; settings are those of kit/formats/lite/session.py.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/record_function.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/mobile/import.h>
#include <torch/csrc/jit/mobile/module.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <stdexcept>

#include "events.h"
#include "runner.h"
#include "system.h"

namespace kit {
namespace {

// Times of the module's own operators, by their position in the module. They run sequentially on
// the calling thread, so no lock is needed.
struct Recorded {
  std::string name;
  int64_t calls = 0;
  int64_t ns = 0;
};

struct Running : at::ObserverContext {
  size_t place = 0;
  int64_t began = 0;
};

std::map<size_t, Recorded> recorded;
size_t place = 0;

std::unique_ptr<at::ObserverContext> operator_begins(const at::RecordFunction&) {
  auto running = std::make_unique<Running>();
  running->place = place++;
  running->began = now_ns();
  return running;
}

void operator_ends(const at::RecordFunction& function, at::ObserverContext* context) {
  const int64_t now = now_ns();
  const auto* running = static_cast<const Running*>(context);
  Recorded& entry = recorded[running->place];
  if (entry.calls++ == 0) entry.name = function.name();
  entry.ns += now - running->began;
}

// Of each DType, in its order.
constexpr at::ScalarType kTypes[] = {at::kFloat, at::kHalf, at::kLong, at::kInt, at::kByte, at::kBool};

Tensor read(at::Tensor tensor) {
  if (tensor.is_quantized()) tensor = tensor.dequantize();
  tensor = tensor.contiguous();
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i] == tensor.scalar_type()) {
      return {TensorSpec{static_cast<DType>(i), tensor.sizes().vec()}, tensor.const_data_ptr()};
    }
  }
  throw std::runtime_error("an output has a dtype that kit does not read");
}

class Lite final : public Backend {
 public:
  std::optional<int64_t> prepare(const Options& options) override {
    // The parent process must set it: libgomp reads it before main begins. Idle
    // threads that spin make an int8 model five times slower on a busy machine.
    if (options.threads > 1 && !std::getenv("OMP_WAIT_POLICY")) {
      std::fputs("runner: OMP_WAIT_POLICY=passive is not set: idle threads will spin\n", stderr);
    }
    at::set_num_threads(static_cast<int>(options.threads));
    // Packed weights are made for one engine; it must be set before they are read.
    at::globalContext().setQEngine(at::QEngine::QNNPACK);
    return at::get_num_threads();
  }

  void load(const std::string& model) override {
    module_.emplace(torch::jit::_load_for_mobile(model, at::kCPU));
  }

  void bind(std::vector<Tensor>& inputs) override {
    for (Tensor& tensor : inputs) {
      const auto type = kTypes[static_cast<size_t>(tensor.spec.dtype)];
      inputs_.emplace_back(at::from_blob(tensor.values.data(), tensor.spec.shape, type));
    }
  }

  void run() override {
    const c10::InferenceMode guard;
    place = 0;
    output_ = module_->forward(inputs_);
  }

  std::vector<Tensor> answer() override {
    if (!output_.isTuple()) return {read(output_.toTensor())};
    std::vector<Tensor> answers;
    for (const auto& element : output_.toTupleRef().elements()) {
      answers.push_back(read(element.toTensor()));
    }
    return answers;
  }

  void begin_profile() override {
    // Scope FUNCTION has thousands of calls, one for each q_scale() of a tensor.
    at::addGlobalCallback(at::RecordFunctionCallback(operator_begins, operator_ends)
                              .scopes({at::RecordScope::LITE_INTERPRETER}));
  }

  void write_profile(const std::string& path) override {
    if (recorded.empty()) throw std::runtime_error("torch recorded no operator");
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (!file) throw std::runtime_error(with_errno("cannot write " + path));
    bool whole = true;
    for (const auto& [index, entry] : recorded) {
      whole &= std::fprintf(file, "{\"index\":%zu,\"name\":%s,\"calls\":%lld,\"ns\":%lld}\n", index,
                            quoted(entry.name).c_str(), static_cast<long long>(entry.calls),
                            static_cast<long long>(entry.ns)) > 0;
    }
    if (std::fclose(file) != 0 || !whole) {
      throw std::runtime_error(with_errno("cannot write " + path));
    }
  }

 private:
  std::optional<torch::jit::mobile::Module> module_;
  std::vector<c10::IValue> inputs_;
  c10::IValue output_;
};

}  // namespace

const char* const format_name = "lite";
const char* const runtime_name = "torch";
const char* const profile_kind = "torch";
std::unique_ptr<Backend> make_backend() { return std::make_unique<Lite>(); }

}  // namespace kit
