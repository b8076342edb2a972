// ExecuTorch with XNNPACK, through its Module; settings are those of kit/formats/executorch/session.py.
#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
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

using et::aten::ScalarType;

// Of each DType, in its order.
constexpr ScalarType kTypes[] = {ScalarType::Float, ScalarType::Half, ScalarType::Long,
                                 ScalarType::Int,   ScalarType::Byte, ScalarType::Bool};

DType dtype_of(ScalarType type) {
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i] == type) return static_cast<DType>(i);
  }
  throw std::runtime_error("an output has a dtype that kit does not read");
}

// Copies a tensor row by row: a delegate may leave channels last.
kit::Tensor read(const et::aten::Tensor& tensor) {
  const auto sides = tensor.sizes();
  const auto strides = tensor.strides();
  kit::Tensor copy(TensorSpec{dtype_of(tensor.scalar_type()), {sides.begin(), sides.end()}});
  const size_t size = size_of(copy.spec.dtype);
  const auto* from = static_cast<const uint8_t*>(tensor.const_data_ptr());
  std::vector<size_t> index(sides.size(), 0);
  for (size_t to = 0; to < copy.values.size(); to += size) {
    size_t offset = 0;
    for (size_t i = 0; i < index.size(); ++i) offset += index[i] * static_cast<size_t>(strides[i]);
    std::copy_n(from + offset * size, size, copy.values.begin() + static_cast<ptrdiff_t>(to));
    for (size_t i = index.size(); i-- > 0 && ++index[i] == static_cast<size_t>(sides[i]);) {
      index[i] = 0;
    }
  }
  return copy;
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
    // The full verification, as in Python: a damaged file must not end the process.
    check(module_->load(et::runtime::Program::Verification::InternalConsistency), "load");
    check(module_->load_method("forward"), "load_method");
  }

  void bind(std::vector<kit::Tensor>& inputs) override {
    const auto method = module_->method_meta("forward");
    check(method.error(), "method_meta");
    if (method->num_inputs() != inputs.size()) {
      throw std::runtime_error("the program takes " + std::to_string(method->num_inputs()) +
                               " inputs, not " + std::to_string(inputs.size()));
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto meta = method->input_tensor_meta(i);
      check(meta.error(), "input_tensor_meta");
      const auto type = kTypes[static_cast<size_t>(inputs[i].spec.dtype)];
      if (meta->scalar_type() != type) {
        throw std::runtime_error("input " + std::to_string(i) + " of the program is of another dtype");
      }
      const auto& shape = inputs[i].spec.shape;
      std::vector<et::aten::SizesType> sides(shape.begin(), shape.end());
      tensors_.push_back(
          et::extension::from_blob(inputs[i].values.data(), std::move(sides), type));
      inputs_.emplace_back(*tensors_.back());
    }
  }

  void run() override {
    auto answers = module_->forward(inputs_);
    check(answers.error(), "forward");
    outputs_ = std::move(*answers);
  }

  std::vector<kit::Tensor> answer() override {
    std::vector<kit::Tensor> answers;
    for (const EValue& output : outputs_) {
      if (!output.isTensor()) throw std::runtime_error("an output of the program is no tensor");
      answers.push_back(read(output.toTensor()));
    }
    return answers;
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
  std::vector<et::extension::TensorPtr> tensors_;
  std::vector<EValue> inputs_;
  std::vector<EValue> outputs_;
};

}  // namespace

const char* const format_name = "executorch";
const char* const runtime_name = "executorch";
const char* const profile_kind = "etdump";
std::unique_ptr<Backend> make_backend() { return std::make_unique<ExecuTorch>(); }

}  // namespace kit
