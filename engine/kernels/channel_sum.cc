#include "engine/kernels/channel_sum.h"

#include <algorithm>

#include "engine/base/parallel.h"
#include "engine/kernels/reduce.h"

namespace faultline {
namespace {

constexpr int64_t kGrain = 1 << 14;  // terms that are worth a thread

// Adds the blocks of channels begin .. end, the channels side by side.
template <class T>
void shuffled_sums(const ChannelShape& shape, const std::vector<KPlan::Range>& blocks, const T* x,
                   float* sums, int64_t begin, int64_t end) {
  const int64_t n = end - begin, positions = shape.positions;
  std::vector<float> chain(n);
  for (const KPlan::Range& block : blocks) {
    std::fill(chain.begin(), chain.end(), 0.0f);
    for (int64_t i = block.begin; i < block.end;) {
      const int64_t run = std::min(positions - i % positions, block.end - i);
      const T* term = x + (i / positions * shape.channels + begin) * positions + i % positions;
      for (int64_t end_of_run = i + run; i < end_of_run; ++i, ++term) {
        for (int64_t c = 0; c < n; ++c) chain[c] += to_f32(term[c * positions]);
      }
    }
    for (int64_t c = 0; c < n; ++c)
      sums[begin + c] = &block == &blocks.front() ? chain[c] : sums[begin + c] + chain[c];
  }
}

}  // namespace

std::vector<KPlan::Range> shuffled_blocks(int64_t terms, const Arithmetic& arithmetic) {
  Arithmetic order;
  order.order = Order::kShuffled;
  order.order_seed = arithmetic.order_seed;
  order.order_stream = arithmetic.order_stream;
  const KPlan plan = plan_k(terms, 0, true, order);
  return plan.leaves.empty() ? std::vector<KPlan::Range>() : plan.leaves.front();
}

void channel_sum(const char* kernel, const ChannelShape& shape, Dtype dtype, const void* x,
                 const Arithmetic& arithmetic, float* sums) {
  if (arithmetic.order != Order::kShuffled) {
    const SumPlan plan({shape.samples, shape.rows, shape.channels, shape.positions},
                       {true, true, false, true});
    return sum_over_axes(plan, dtype, x, sums);
  }
  const std::vector<KPlan::Range> blocks = shuffled_blocks(shape.terms(), arithmetic);
  std::fill_n(sums, shape.channels, 0.0f);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(shape.terms(), 1));
  parallel_for(kernel, shape.channels, grain, [&](int64_t begin, int64_t end) {
    visit(dtype, [&]<class T>() {
      if constexpr (requires(T value) { to_f32(value); }) {
        shuffled_sums(shape, blocks, static_cast<const T*>(x), sums, begin, end);
      }
    });
  });
}

}  // namespace faultline
