#include "models/layers/embedding.h"

#include "engine/autograd/execution.h"
#include "engine/ops/embedding.h"

namespace faultline::models {

Embedding::Embedding(Parameters& parameters, const std::string& name, int64_t rows, int64_t width)
    : name_(name), weight_(parameters.normal(name + ".weight", {rows, width})) {}

Variable Embedding::operator()(const Variable& indices) const {
  const Scope scope(name_);
  return embedding(weight_, indices);
}

}  // namespace faultline::models
