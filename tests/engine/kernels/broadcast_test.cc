#include "engine/kernels/broadcast.h"

#include <catch2/catch.hpp>

namespace faultline {
namespace {

using Shape = std::vector<int64_t>;

// The operand's element under a result's element, by unravelling its index.
int64_t element_under(const Shape& result, const Shape& operand, int64_t index) {
  int64_t element = 0, stride = 1;
  for (size_t i = 1; i <= result.size(); ++i) {
    const int64_t size = result[result.size() - i], position = index % size;
    index /= size;
    if (i > operand.size()) continue;
    const int64_t own = operand[operand.size() - i];
    if (own != 1) element += position * stride;
    stride *= own;
  }
  return element;
}

// Visits [begin, end) and checks every element of every operand.
void check_plan(const Shape& result, const std::vector<Shape>& operands, int64_t begin, int64_t end) {
  const BroadcastPlan plan(result, operands);
  int64_t next = begin;
  plan.for_each_run(begin, end, [&](int64_t first, int64_t length, const auto& offsets) {
    REQUIRE(first == next);
    for (int64_t i = 0; i < length; ++i) {
      for (size_t k = 0; k < operands.size(); ++k) {
        const int64_t element = offsets[k] + (plan.advances(static_cast<int>(k)) ? i : 0);
        REQUIRE(element == element_under(result, operands[k], first + i));
      }
    }
    next += length;
  });
  CHECK(next == end);
}

}  // namespace

TEST_CASE("broadcast: every operand's element lies under the result's") {
  check_plan({3, 4, 5}, {{3, 4, 5}, {3, 4, 5}}, 0, 60);
  check_plan({3, 4, 5}, {{3, 1, 5}, {4, 1}}, 0, 60);
  check_plan({3, 4, 5}, {{}, {5}, {3, 1, 1}}, 7, 53);
  check_plan({2, 1, 3, 1}, {{2, 1, 1, 1}, {3, 1}}, 0, 6);
  check_plan({}, {{}, {}}, 0, 1);
  check_plan({0, 3}, {{0, 3}, {3}}, 0, 0);
}

TEST_CASE("broadcast: axes that all operands walk alike are one run") {
  int runs = 0;
  BroadcastPlan({3, 4, 5}, {{3, 4, 5}, {}}).for_each_run(0, 60, [&](int64_t, int64_t, const auto&) {
    ++runs;
  });
  CHECK(runs == 1);
  BroadcastPlan({3, 4, 5}, {{3, 4, 5}, {4, 5}}).for_each_run(0, 60, [&](int64_t, int64_t, const auto&) {
    ++runs;
  });
  CHECK(runs == 4);
}

}  // namespace faultline
