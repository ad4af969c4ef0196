#pragma once

#include <algorithm>
#include <array>

#include "engine/base/parallel.h"
#include "engine/base/result_pieces.h"
#include "engine/kernels/broadcast.h"
#include "engine/numerics/dtype.h"

namespace faultline {

// One call of an element-wise kernel: contiguous operands of one format over a contiguous result of that
// format or of f32.
struct ElementwiseCall {
  const char* kernel;  // its name in the statistics of parallel_for
  const BroadcastPlan& plan;
  Dtype operand_dtype, result_dtype;
  std::array<const void*, BroadcastPlan::kMaxOperands> operands;
  void* result;
  ResultPieces* pieces = nullptr;  // who looks at the result's, if anybody
};

using ElementwiseKernel = void (*)(const ElementwiseCall&);

// Elements for which another thread is worth waking.
constexpr int64_t kElementwiseGrain = 16384;

// Rows of so many elements for which it is.
inline int64_t row_grain(int64_t elements) { return kElementwiseGrain / std::max<int64_t>(elements, 1) + 1; }

// Calls write(row) for each of the rows of a result.
template <class Write>
void write_rows(const char* kernel, int64_t rows, const ResultItem& row, const void* result,
                ResultPieces* pieces, const Write& write) {
  parallel_for(kernel, rows, row_grain(row.elements), [&](int64_t begin, int64_t end) {
    write_in_pieces(pieces, result, row, begin, end, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) write(i);
    });
  });
}

// Calls run(row) for each of the rows.
template <class Run>
void parallel_for_rows(const char* kernel, int64_t rows, int64_t elements, const Run& run) {
  parallel_for(kernel, rows, row_grain(elements), [&run](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) run(row);
  });
}

}  // namespace faultline
