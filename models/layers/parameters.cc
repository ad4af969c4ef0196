#include "models/layers/parameters.h"

#include <cmath>
#include <utility>

#include "engine/numerics/philox.h"

namespace faultline::models {

Variable Parameters::add(const std::string& name, Tensor value) {
  trained_.emplace_back(std::move(value), true, name);
  return trained_.back();
}

template <class Draw>
Variable Parameters::drawn(const std::string& name, Shape shape, Draw draw) {
  Tensor value = Tensor::empty(std::move(shape), Dtype::kF32);
  const std::string stream = "init/" + name;
  Draws draws(seed_, stream);
  float* elements = value.mutable_data<float>();
  for (int64_t i = 0; i < value.size(); ++i) elements[i] = draw(draws);
  draws_[stream] = draws.count();
  return add(name, value);
}

Variable Parameters::uniform(const std::string& name, Shape shape, double bound) {
  const float b = static_cast<float>(bound);
  return drawn(name, std::move(shape), [b](Draws& draws) { return std::fma(draws.uniform(), 2 * b, -b); });
}

Variable Parameters::normal(const std::string& name, Shape shape) {
  return drawn(name, std::move(shape), [](Draws& draws) { return static_cast<float>(draws.normal()); });
}

Variable Parameters::constant(const std::string& name, Shape shape, double value) {
  return add(name, Tensor::full(std::move(shape), Dtype::kF32, value));
}

Variable Parameters::buffer(const std::string& name, Shape shape, double value) {
  buffers_.emplace_back(Tensor::full(std::move(shape), Dtype::kF32, value), false, name);
  return buffers_.back();
}

}  // namespace faultline::models
