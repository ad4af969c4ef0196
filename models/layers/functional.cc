#include "models/layers/functional.h"

#include "engine/autograd/execution.h"
#include "engine/ops/dropout.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/relu.h"
#include "engine/ops/reshape.h"

namespace faultline::models {

Variable named_relu(const std::string& name, const Variable& x) {
  const Scope scope(name);
  return relu(x);
}

Variable named_max_pool(const std::string& name, const Variable& x, int64_t kernel) {
  const Scope scope(name);
  return max_pool2d(x, {kernel, kernel});
}

Variable named_dropout(const std::string& name, const Variable& x, double p) {
  const Scope scope(name);
  return dropout(x, p, name);
}

Variable named_flatten(const std::string& name, const Variable& x) {
  const Scope scope(name);
  return flatten(x);
}

}  // namespace faultline::models
