#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/mma/unit.h"
#include "engine/mma/vector_file.h"

namespace faultline {

// An output element that a unit computes otherwise than the file says.
struct VectorDifference {
  int64_t line, row, column;  // row and column from 0
  std::string category;
  uint32_t captured, plain, fast;  // patterns of the format d; fast is plain where it was not asked
  double exact;                    // the sum of the products and C, rounded once, to f64
};

struct Conformance {
  int64_t elements = 0;
  int64_t fast_elements = 0;  // of them also computed by the fast product: C of the whole tile is +0
  int64_t differences = 0;
  std::vector<VectorDifference> first = {};
};

// Computes every element of the file by the unit's plain model, and by its fast product where that can, and
// compares all bits, NaN payloads too. Keeps the first `keep` differences.
// Throws: as check_unit; kDtype if the file's C does not fit its D, kUnsupported if the unit has no plain
// model.
Conformance judge(const std::string& file_name, const VectorFile& file, const std::string& unit,
                  size_t keep = 5);

}  // namespace faultline
