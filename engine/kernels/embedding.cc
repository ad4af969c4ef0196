#include "engine/kernels/embedding.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine/base/parallel.h"
#include "engine/kernels/channel_sum.h"
#include "engine/kernels/elementwise.h"
#include "engine/numerics/sum.h"

namespace faultline {
namespace {

// Tokens by the row that they pick, rising within a row.
struct TokensOfRows {
  TokensOfRows(const EmbeddingShape& shape, const int32_t* indices)
      : first(shape.rows + 1), tokens(shape.tokens) {
    for (int64_t i = 0; i < shape.tokens; ++i) ++first[indices[i] + 1];
    std::partial_sum(first.begin(), first.end(), first.begin());
    std::vector<int64_t> next = first;
    for (int64_t i = 0; i < shape.tokens; ++i) tokens[next[indices[i]]++] = i;
  }
  std::vector<int64_t> first;  // of row r: tokens[first[r]] .. tokens[first[r + 1] - 1]
  std::vector<int64_t> tokens;
};

// How tokens are cut into pieces, and where each piece stands in the order of additions.
struct Pieces {
  int64_t tokens;              // of a piece
  std::vector<int64_t> ranks;  // shuffled: by piece; empty for leaves
};

Pieces pieces_of(const EmbeddingShape& shape, const Arithmetic& arithmetic) {
  if (arithmetic.order != Order::kShuffled) return {kLeafSamples * shape.tokens_per_sample, {}};
  const std::vector<KPlan::Range> blocks = shuffled_blocks(shape.tokens, arithmetic);
  Pieces pieces{1, {}};
  for (const KPlan::Range& block : blocks) pieces.tokens = std::max(pieces.tokens, block.end - block.begin);
  pieces.ranks.resize(blocks.size());
  for (size_t rank = 0; rank < blocks.size(); ++rank) {
    pieces.ranks[blocks[rank].begin / pieces.tokens] = static_cast<int64_t>(rank);
  }
  return pieces;
}

// The sum of one piece's dy for one row.
struct Partial {
  int64_t position;
  std::vector<float> sum;
};

void add(Partial& to, const Partial& from) {
  for (size_t d = 0; d < to.sum.size(); ++d) to.sum[d] += from.sum[d];
}

template <class T>
std::vector<Partial> partials_of_row(const EmbeddingShape& shape, const Pieces& pieces, const int64_t* token,
                                     const int64_t* end, const T* dy) {
  std::vector<Partial> partials;
  for (int64_t piece = -1; token < end; ++token) {
    if (*token / pieces.tokens != piece) {
      piece = *token / pieces.tokens;
      partials.push_back(
          {pieces.ranks.empty() ? piece : pieces.ranks[piece], std::vector<float>(shape.width)});
    }
    const T* row = dy + *token * shape.width;
    for (int64_t d = 0; d < shape.width; ++d) partials.back().sum[d] += to_f32(row[d]);
  }
  return partials;
}

// The tree over all leaves; one without a partial sum is +0 and changes nothing.
void join_tree(std::vector<Partial>& leaves) {
  while (leaves.size() > 1) {
    size_t kept = 0;
    for (size_t i = 0; i < leaves.size(); ++i) {
      leaves[i].position /= 2;
      if (kept > 0 && leaves[kept - 1].position == leaves[i].position) {
        add(leaves[kept - 1], leaves[i]);
      } else {
        if (kept != i) leaves[kept] = std::move(leaves[i]);
        ++kept;
      }
    }
    leaves.resize(kept);
  }
}

void join_in_order(std::vector<Partial>& blocks) {
  std::sort(blocks.begin(), blocks.end(),
            [](const Partial& a, const Partial& b) { return a.position < b.position; });
  for (size_t i = 1; i < blocks.size(); ++i) add(blocks[0], blocks[i]);
}

template <class T>
void gradient_of_row(const EmbeddingShape& shape, const Pieces& pieces, const int64_t* token,
                     const int64_t* end, const T* dy, T* dw) {
  std::vector<Partial> partials = partials_of_row(shape, pieces, token, end, dy);
  if (partials.empty()) partials.push_back({0, std::vector<float>(shape.width)});
  if (pieces.ranks.empty()) {
    join_tree(partials);
  } else {
    join_in_order(partials);
  }
  for (int64_t d = 0; d < shape.width; ++d) dw[d] = narrow<T>(partials[0].sum[d]);
}

// Items of `width` elements that are worth a thread.
int64_t grain(int64_t width) { return std::max<int64_t>(1, kElementwiseGrain / std::max<int64_t>(1, width)); }

}  // namespace

void embedding(const EmbeddingShape& shape, Dtype dtype, const void* w, const int32_t* indices, void* y) {
  const int64_t row_bytes = shape.width * size_bytes(dtype);
  parallel_for("embedding", shape.tokens, grain(shape.width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(static_cast<char*>(y) + i * row_bytes, static_cast<const char*>(w) + indices[i] * row_bytes,
                  static_cast<size_t>(row_bytes));
    }
  });
}

void embedding_gradient(const EmbeddingShape& shape, Dtype dtype, const int32_t* indices, const void* dy,
                        const Arithmetic& arithmetic, void* dw) {
  const TokensOfRows rows(shape, indices);
  const Pieces pieces = pieces_of(shape, arithmetic);
  const int64_t tokens_per_row = shape.tokens / std::max<int64_t>(1, shape.rows) + 1;
  parallel_for("embedding_gradient", shape.rows, grain(shape.width * tokens_per_row),
               [&](int64_t begin, int64_t end) {
                 visit(dtype, [&]<class T>() {
                   if constexpr (requires(T value) { to_f32(value); }) {
                     for (int64_t row = begin; row < end; ++row) {
                       gradient_of_row(shape, pieces, rows.tokens.data() + rows.first[row],
                                       rows.tokens.data() + rows.first[row + 1], static_cast<const T*>(dy),
                                       static_cast<T*>(dw) + row * shape.width);
                     }
                   }
                 });
               });
}

}  // namespace faultline
