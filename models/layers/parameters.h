#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/autograd/variable.h"

namespace faultline::models {

// Makes a model's f32 parameters and lists them in the order of their making. A drawn parameter takes element
// i from counter i of the stream "init/<name>", so that no parameter's values depend on another's.
class Parameters {
 public:
  explicit Parameters(uint64_t seed) : seed_(seed) {}

  // Uniform over [-bound, bound): fma(u, 2 * bound, -bound) with u uniform in [0, 1) and bound in f32.
  Variable uniform(const std::string& name, Shape shape, double bound);
  // Standard normal.
  Variable normal(const std::string& name, Shape shape);
  Variable constant(const std::string& name, Shape shape, double value);
  // A tensor of the state that is not trained.
  Variable buffer(const std::string& name, Shape shape, double value);

  const std::vector<Variable>& trained() const { return trained_; }
  const std::vector<Variable>& buffers() const { return buffers_; }
  const std::map<std::string, uint64_t>& draws() const { return draws_; }  // random numbers per stream

 private:
  Variable add(const std::string& name, Tensor value);
  template <class Draw>
  Variable drawn(const std::string& name, Shape shape, Draw draw);

  uint64_t seed_;
  std::vector<Variable> trained_, buffers_;
  std::map<std::string, uint64_t> draws_;
};

}  // namespace faultline::models
