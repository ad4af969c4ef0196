#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace faultline {

// Sees the result of an op piece by piece, while the caches of the thread that wrote a piece still hold it.
class ResultPieces {
 public:
  virtual ~ResultPieces() = default;

  // Elements [begin, end) of the result, in row-major order, have their values for good. They lie at `elements`, now at
  // least, which need not be their place in the result. From any thread; pieces do not overlap, come in any order, and
  // some may never come.
  virtual void written(int64_t begin, int64_t end, const void* elements) = 0;
};

// What a kernel writes one after the other: an element, or a row or a plane of them.
struct ResultItem {
  int64_t elements, element_bytes;
};

// Calls write(first, last) for items [begin, end) of a result: for all of them where nobody looks at pieces, else for as
// many as the first cache holds, which are then shown.
template <class Write>
void write_in_pieces(ResultPieces* pieces, const void* result, const ResultItem& item, int64_t begin,
                     int64_t end, const Write& write) {
  if (!pieces) return write(begin, end);
  constexpr int64_t kPieceBytes = 16 << 10;
  const int64_t item_bytes = item.elements * item.element_bytes;
  const int64_t items = std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, item_bytes));
  for (int64_t last; begin < end; begin = last) {
    last = std::min((begin / items + 1) * items, end);
    write(begin, last);
    pieces->written(begin * item.elements, last * item.elements,
                    static_cast<const std::byte*>(result) + begin * item_bytes);
  }
}

}  // namespace faultline
