#pragma once

#include <string>

#include "models/layers/parameters.h"

namespace faultline::models {

// A table of `rows` vectors of `width`, drawn from the standard normal distribution: torch's default.
class Embedding {
 public:
  Embedding(Parameters& parameters, const std::string& name, int64_t rows, int64_t width);
  Variable operator()(const Variable& indices) const;  // [N, ...] of i32 -> [N, ..., width]

 private:
  std::string name_;
  Variable weight_;
};

}  // namespace faultline::models
