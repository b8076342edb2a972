// ExecuTorch with XNNPACK, through its Module; settings are those of kit/formats/executorch.py.
#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdio>
#include <stdexcept>

#include "runner.h"
#include "system.h"

// Exported by libexecutorch_threadpool; the wheel lacks the header.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace kit {
namespace {

namespace et = executorch;
using et::extension::Module;
using et::runtime::Error;
using et::runtime::EValue;

void check(Error error, const char* what) {
  if (error == Error::Ok) return;
  throw std::runtime_error(std::string(what) + ": " + et::runtime::to_string(error));
}

class ExecuTorch final : public Backend {
 public:
  std::optional<int64_t> prepare(const Options& options) override {
    et::runtime::runtime_init();
    auto* pool = et::extension::threadpool::get_threadpool();
    if (!pool) throw std::runtime_error("ExecuTorch has no thread pool on this processor");
    const auto wanted = static_cast<uint32_t>(options.threads);
    if (pool->get_thread_count() != wanted) pool->_unsafe_reset_threadpool(wanted);
    profiled_ = !options.profile.empty();
    return static_cast<int64_t>(pool->get_thread_count());
  }

  void load(const std::string& model) override {
    auto tracer = profiled_ ? std::make_unique<et::etdump::ETDumpGen>() : nullptr;
    tracer_ = tracer.get();
    module_ = std::make_unique<Module>(model, Module::LoadMode::File, std::move(tracer));
    // The whole check, as in Python: a damaged file must not end the process.
    check(module_->load(et::runtime::Program::Verification::InternalConsistency), "load");
    check(module_->load_method("forward"), "load_method");
  }

  void bind(std::vector<float>& input, const std::vector<int64_t>& shape) override {
    const auto method = module_->method_meta("forward");
    check(method.error(), "method_meta");
    if (method->num_inputs() != 1) throw std::runtime_error("the program has not one input");
    const auto meta = method->input_tensor_meta(0);
    check(meta.error(), "input_tensor_meta");
    if (meta->scalar_type() != et::aten::ScalarType::Float) {
      throw std::runtime_error("the program's input is not float32");
    }
    sides_.assign(shape.begin(), shape.end());
    tensor_ = et::extension::from_blob(input.data(), sides_);
    inputs_.emplace_back(*tensor_);
  }

  void run() override {
    auto answers = module_->forward(inputs_);
    check(answers.error(), "forward");
    outputs_ = std::move(*answers);
  }

  std::vector<float> answer() override {
    if (outputs_.empty() || !outputs_[0].isTensor()) {
      throw std::runtime_error("the program's output is no tensor");
    }
    const auto tensor = outputs_[0].toTensor();
    if (tensor.scalar_type() != et::aten::ScalarType::Float) {
      throw std::runtime_error("the program's output is not float32");
    }
    const auto* values = tensor.const_data_ptr<float>();
    return {values, values + tensor.numel()};
  }

  void begin_profile() override { tracer_->reset(); }

  void write_profile(const std::string& path) override {
    const auto dump = tracer_->get_etdump_data();
    if (!dump.buf || !dump.size) throw std::runtime_error("ExecuTorch recorded nothing");
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (!file) throw std::runtime_error(with_errno("cannot write " + path));
    const bool whole = std::fwrite(dump.buf, 1, dump.size, file) == dump.size;
    if (std::fclose(file) != 0 || !whole) {
      throw std::runtime_error(with_errno("cannot write " + path));
    }
  }

 private:
  bool profiled_ = false;
  et::etdump::ETDumpGen* tracer_ = nullptr;
  std::unique_ptr<Module> module_;
  std::vector<et::aten::SizesType> sides_;
  et::extension::TensorPtr tensor_;
  std::vector<EValue> inputs_;
  std::vector<EValue> outputs_;
};

}  // namespace

const char* const format_name = "executorch";
const char* const runtime_name = "executorch";
const char* const profile_kind = "etdump";
std::unique_ptr<Backend> make_backend() { return std::make_unique<ExecuTorch>(); }

}  // namespace kit
