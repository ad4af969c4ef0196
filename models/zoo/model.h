#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/layers/parameters.h"

namespace faultline::models {

// A network: f32 parameters and a forward pass whose ops carry the names of its layers.
class Model {
 public:
  virtual ~Model() = default;

  // Images [N, channels, rows, columns] -> logits [N, classes].
  virtual Variable forward(const Variable& x) = 0;

  // "conv1.weight", "conv1.bias", ... in the order of the layers.
  const std::vector<Variable>& parameters() const { return parameters_.trained(); }
  // Running statistics: part of the state, not trained. "bn1.running_mean".
  const std::vector<Variable>& buffers() const { return parameters_.buffers(); }
  // Random numbers that the initial values took, per stream.
  const std::map<std::string, uint64_t>& draws() const { return parameters_.draws(); }

 protected:
  explicit Model(uint64_t seed) : parameters_(seed) {}

  Parameters parameters_;
};

using ModelSettings = std::map<std::string, int64_t>;

// An entry of the model registry.
struct ModelKind {
  static constexpr const char* kKind = "model";
  ModelSettings defaults;  // every setting that the model knows, with its default
  std::function<std::unique_ptr<Model>(const ModelSettings&, uint64_t seed)> make;
};

// Returns a new model. Settings not given keep their defaults; a setting of other models is ignored.
// Throws kNotFound for an unknown model, kArgument for a value below 1 or a setting that no model knows.
std::unique_ptr<Model> make_model(const std::string& name, const ModelSettings& settings, uint64_t seed);

}  // namespace faultline::models
