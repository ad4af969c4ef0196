#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/tensor/tensor.h"
#include "models/data/inflated.h"

namespace faultline::models {

// An array of bytes as an IDX file holds it.
struct IdxArray {
  Shape shape;
  std::span<const uint8_t> bytes;
  std::shared_ptr<const void> memory;  // keeps them
};

// Returns the array of an IDX file of unsigned bytes with `rank` sizes; `path` names it. Throws kData, naming the file
// and what is wrong.
// Source:      LeCun, Cortes and Burges, the MNIST database: two zero bytes, type 8, rank, big-endian sizes,
//              data.
IdxArray parse_idx(const std::string& path, const Inflated& file, int rank);

}  // namespace faultline::models
