#include "engine/ops/samples.h"

#include <algorithm>
#include <cmath>

namespace faultline {
namespace {

// 53 uniform bits in [0, 1) from the index alone (Steele, Lea and Flood 2014, SplitMix64).
double uniform(uint64_t index) {
  uint64_t z = (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

template <class F>
Tensor filled(const Shape& shape, Dtype dtype, int salt, F value_of_uniform) {
  Tensor tensor = Tensor::empty(shape, dtype);
  const uint64_t first = static_cast<uint64_t>(salt) << 32;
  visit(dtype, [&]<class T>() {
    T* data = tensor.mutable_data<T>();
    for (int64_t i = 0; i < tensor.size(); ++i) data[i] = narrow<T>(value_of_uniform(uniform(first + i)));
  });
  return tensor;
}

}  // namespace

Tensor sample_tensor(const Shape& shape, Fill fill, int salt) {
  return filled(shape, Dtype::kF32, salt,
                [&](double u) { return fill == Fill::kIntegers ? std::floor(9 * u) - 4 : 4 * u - 2; });
}

Tensor positive_sample_tensor(const Shape& shape, Fill fill, int salt) {
  return filled(shape, Dtype::kF32, salt,
                [&](double u) { return fill == Fill::kIntegers ? std::floor(4 * u) + 1 : 0.25 + 1.75 * u; });
}

Tensor sample_indices(const Shape& shape, int64_t classes, int salt) {
  return filled(shape, Dtype::kI32, salt,
                [&](double u) { return std::floor(static_cast<double>(classes) * u); });
}

}  // namespace faultline
