// Named dtypes, shapes and values of a model's inputs and outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace kit {

// DTYPES of kit/signature.py, in its order.
enum class DType { float32, float16, int64, int32, uint8, boolean };

size_t size_of(DType dtype);  // bytes of a value

struct TensorSpec {
  DType dtype = DType::float32;
  std::vector<int64_t> shape;

  int64_t elements() const;
  size_t bytes() const;
};

// A spec and its values, row by row; the memory is aligned for any dtype.
struct Tensor {
  TensorSpec spec;
  std::vector<uint8_t> values;

  Tensor() = default;
  explicit Tensor(TensorSpec of) : spec(std::move(of)), values(spec.bytes()) {}
  Tensor(TensorSpec of, const void* data);
};

constexpr int64_t kMaxElements = int64_t{1} << 30;

// Reads "float32:1,3,224,224;int64:1,16"; throws std::invalid_argument with the expected form.
std::vector<TensorSpec> parse_specs(const std::string& text);

// Writes what parse_specs reads.
std::string format_specs(const std::vector<Tensor>& tensors);

}  // namespace kit
