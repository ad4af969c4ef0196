#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"

namespace faultline::models {

// An array of bytes as an IDX file holds it.
struct IdxArray {
  Shape shape;
  std::vector<uint8_t> bytes;
};

// Reads a gzip'ed IDX file of unsigned bytes with `rank` sizes. Throws kData, naming the file and what is
// wrong.
// Source:      LeCun, Cortes and Burges, the MNIST database: two zero bytes, type 8, rank, big-endian sizes,
//              data.
IdxArray read_idx(const std::string& path, int rank);

}  // namespace faultline::models
