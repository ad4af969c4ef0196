#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/numerics/dtype.h"

namespace faultline {

// One product D = A B + C of a matrix unit as bit patterns: A and D, C by rows, B by columns.
struct VectorTile {
  std::string category;
  std::vector<uint32_t> a, b, c, d;
  int64_t line = 0;  // of the file it was read from
};

// A file of such products, all of one shape (numerics.md 5).
struct VectorFile {
  std::string chip;   // "" if the file does not say
  std::string notes;  // the words of the first line that have no meaning here
  Dtype input, c, d;
  int64_t m, n, k;
  std::vector<VectorTile> tiles = {};
};

// Reads the text of a file. Throws kData with `name`, line, column and what is expected there.
VectorFile parse_vector_file(const std::string& name, std::string_view text);

// Returns the text of a file.
std::string vector_file_text(const VectorFile& file);

}  // namespace faultline
