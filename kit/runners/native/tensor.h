// Named dtypes, shapes and values of a model's inputs and outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
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

// Memory that runtimes compute in directly: aligned to 64 bytes, as LiteRT demands, and followed
// by zeros, because kernels of XNNPACK read up to 16 bytes beyond an input's end.
template <class Value>
struct AlignedAllocator {
  using value_type = Value;
  static constexpr std::align_val_t kAlignment{64};
  static constexpr size_t kPadding = 64;

  AlignedAllocator() = default;
  template <class Other>
  AlignedAllocator(const AlignedAllocator<Other>&) {}

  Value* allocate(size_t count) {
    const size_t bytes = count * sizeof(Value);
    void* memory = ::operator new(bytes + kPadding, kAlignment);
    std::memset(static_cast<char*>(memory) + bytes, 0, kPadding);
    return static_cast<Value*>(memory);
  }
  void deallocate(Value* memory, size_t) { ::operator delete(memory, kAlignment); }
  bool operator==(const AlignedAllocator&) const = default;
};

// A spec and its values, row by row.
struct Tensor {
  TensorSpec spec;
  std::vector<uint8_t, AlignedAllocator<uint8_t>> values;

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
