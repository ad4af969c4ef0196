#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace faultline {

// How contiguous operands lie over a result that they broadcast to: axes that all operands walk alike are
// merged, so that the last one is a long run in which an operand either advances with the result or stands
// still.
class BroadcastPlan {
 public:
  static constexpr int kMaxOperands = 5;

  // Every operand's shape, padded with sizes 1 on the left, has sizes 1 or those of the result.
  BroadcastPlan(const std::vector<int64_t>& result, const std::vector<std::vector<int64_t>>& operands);

  int64_t size() const { return size_; }

  // Whether the operand advances within a run.
  bool advances(int operand) const { return strides_[operand].back() != 0; }

  // Calls body(first, length, offsets) for consecutive runs that cover the result's elements [begin, end);
  // offsets are the operands' elements at the run's first.
  template <class Body>
  void for_each_run(int64_t begin, int64_t end, Body body) const {
    while (begin < end) {
      const int64_t length = std::min(sizes_.back() - begin % sizes_.back(), end - begin);
      body(begin, length, offsets(begin));
      begin += length;
    }
  }

 private:
  std::array<int64_t, kMaxOperands> offsets(int64_t index) const;

  int64_t size_ = 1;
  std::vector<int64_t> sizes_;                 // merged, outermost first
  std::vector<std::vector<int64_t>> strides_;  // [operand][merged axis]
};

}  // namespace faultline
