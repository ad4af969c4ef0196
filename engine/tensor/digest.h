#pragma once

#include <vector>

#include "engine/base/digest.h"
#include "engine/tensor/tensor.h"

namespace faultline {

// Returns the digest of a tensor's canonical bytes (numerics.md 2.9): XXH3-128 over the XXH3-128 of a header
// (type, rank, sizes) and of each 64 KiB block of its elements in row-major order, little-endian, every NaN
// read as the canonical one. Equal for a view and its contiguous copy; +0 and -0 differ.
Digest digest(const Tensor& tensor);

// Returns the digest of each tensor. Threads share the blocks of all of them in one go.
std::vector<Digest> digests(const std::vector<const Tensor*>& tensors);

}  // namespace faultline
