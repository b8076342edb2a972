#include "tensor.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace kit {
namespace {

constexpr size_t kMaxTensors = 32;
constexpr size_t kMaxRank = 8;

struct Kind {
  const char* name;
  size_t size;
};

constexpr std::array<Kind, 6> kKinds = {
    {{"float32", 4}, {"float16", 2}, {"int64", 8}, {"int32", 4}, {"uint8", 1}, {"bool", 1}}};

DType dtype_of(const std::string& name) {
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (name == kKinds[i].name) return static_cast<DType>(i);
  }
  throw std::invalid_argument("a dtype among float32, float16, int64, int32, uint8, bool");
}

int64_t side_of(const std::string& text) {
  int64_t side = 0;
  const char* end = text.data() + text.size();
  const auto found = std::from_chars(text.data(), end, side);
  if (found.ec != std::errc() || found.ptr != end || side < 1 || side > kMaxElements) {
    throw std::invalid_argument("a shape of whole numbers from 1 to " +
                                std::to_string(kMaxElements));
  }
  return side;
}

// Calls `take` with each part of a text between separators.
template <class Take>
void split(const std::string& text, char separator, Take take) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    take(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

TensorSpec spec_of(const std::string& word) {
  const size_t colon = word.find(':');
  if (colon == std::string::npos) throw std::invalid_argument("dtypes and shapes of tensors");
  TensorSpec spec{dtype_of(word.substr(0, colon)), {}};
  int64_t elements = 1;
  if (colon + 1 == word.size()) return spec;  // a scalar
  split(word.substr(colon + 1), ',', [&](const std::string& part) {
    spec.shape.push_back(side_of(part));
    elements *= spec.shape.back();
    if (elements > kMaxElements || spec.shape.size() > kMaxRank) {
      throw std::invalid_argument("a smaller shape");
    }
  });
  return spec;
}

}  // namespace

size_t size_of(DType dtype) { return kKinds[static_cast<size_t>(dtype)].size; }

int64_t TensorSpec::elements() const {
  int64_t product = 1;
  for (const int64_t side : shape) product *= side;
  return product;
}

size_t TensorSpec::bytes() const { return static_cast<size_t>(elements()) * size_of(dtype); }

Tensor::Tensor(TensorSpec of, const void* data) : Tensor(std::move(of)) {
  std::memcpy(values.data(), data, values.size());
}

std::vector<TensorSpec> parse_specs(const std::string& text) {
  std::vector<TensorSpec> specs;
  split(text, ';', [&](const std::string& word) { specs.push_back(spec_of(word)); });
  if (specs.size() > kMaxTensors) throw std::invalid_argument("32 tensors or fewer");
  return specs;
}

std::string format_specs(const std::vector<Tensor>& tensors) {
  std::string text;
  for (const Tensor& tensor : tensors) {
    if (&tensor != &tensors.front()) text += ';';
    text += kKinds[static_cast<size_t>(tensor.spec.dtype)].name;
    text += ':';
    for (size_t i = 0; i < tensor.spec.shape.size(); ++i) {
      if (i) text += ',';
      text += std::to_string(tensor.spec.shape[i]);
    }
  }
  return text;
}

}  // namespace kit
