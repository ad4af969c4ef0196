#pragma once

#include <string>

#include "engine/autograd/variable.h"

namespace faultline::models {

// Layers without parameters: ops under a layer's name.
Variable named_relu(const std::string& name, const Variable& x);
Variable named_max_pool(const std::string& name, const Variable& x, int64_t kernel);  // stride = kernel

// Zeroes each element with probability p in training and divides the others by 1 - p.
Variable named_dropout(const std::string& name, const Variable& x, double p);

// [N, ...] -> [N, the rest].
Variable named_flatten(const std::string& name, const Variable& x);

}  // namespace faultline::models
