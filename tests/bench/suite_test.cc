#include "bench/suite.h"

#include <catch2/catch.hpp>
#include <string>

#include "bench/check.h"
#include "bench/quiet.h"
#include "bench/statistics.h"
#include "engine/base/error.h"

namespace faultline::bench {
namespace {

TEST_CASE("median: the middle value, or the mean of the two middle ones") {
  CHECK(median({9, 1, 5}) == 5);
  CHECK(median({9, 1, 5, 7}) == 6);
}

TEST_CASE("spread: half the distance of the quartiles over the median, whatever the outliers") {
  CHECK(spread({10, 10, 10, 10, 10, 10, 10, 1000}) == 0);
  CHECK(spread({8, 9, 9, 10, 11, 11, 12}) == Approx(0.1));
}

TEST_CASE("geometric mean: a ratio and its inverse cancel") {
  CHECK(geometric_mean({4, 0.25}) == Approx(1));
  CHECK(geometric_mean({2, 8}) == Approx(4));
}

TEST_CASE("median interval: the ranks of the binomial table") {
  // Conover 1999, table A3 for p = 1/2: n = 10 gives ranks 2 and 9, n = 20 gives 6 and 15; 5 values are too few.
  std::vector<double> values;
  for (int i = 1; i <= 10; ++i) values.push_back(i);
  CHECK(median_interval(values).low == 2);
  CHECK(median_interval(values).high == 9);
  for (int i = 11; i <= 20; ++i) values.push_back(i);
  CHECK(median_interval(values).low == 6);
  CHECK(median_interval(values).high == 15);
  CHECK(median_interval({1, 2, 3, 4, 5}).low == 1);
}

TEST_CASE("rounded: so many digits, whole numbers in full") {
  CHECK(rounded(0.12345, 3) == "0.123");
  CHECK(rounded(12.345, 3) == "12.3");
  CHECK(rounded(12345.6, 3) == "12346");
}

TEST_CASE("row: the ratio is against the fastest other") {
  CHECK(Row{"shape", 1, {{"ours", 60, 0}, {"a", 50, 0}, {"b", 80, 0}}, {}, ""}.ratio() == 0.75);
  CHECK(Row{"shape", 1, {{"ours", 60, 0}}, {}, ""}.ratio() == 0);
}

TEST_CASE("pairs: both sides are made anew as often, either one first, and work as often") {
  char name[] = "pairs", patience[] = "--patience=0";
  char* arguments[] = {name, patience, nullptr};
  Suite suite(2, arguments, {"pairs", "a test of itself", ""});
  std::string made;
  int worked[2] = {0, 0};
  const auto make = [&](int side) -> Suite::MakeWork {
    return [&, side]() -> Suite::Work {
      made += "ab"[side];
      return [&, side] { ++worked[side]; };
    };
  };
  suite.compare_pairs("two alike", 1, make(0), make(1), 60);
  CHECK(made == "abbaabbaabba");
  CHECK(worked[0] == worked[1]);
  CHECK(worked[0] >= 60);
}

TEST_CASE("check: rounding passes, a wrong element does not") {
  // k = 4 and magnitude 4: both sums together may be off by 8 gamma(4) = 8 * 2^-22.
  const Floats ours = {1, 1}, magnitude = {4, 4};
  CHECK_NOTHROW(check_sums("peer", 4, ours, {1, 1 + 7 * 0x1p-22f}, magnitude));
  CHECK_THROWS_WITH(check_sums("peer", 4, ours, {1, 1 + 9 * 0x1p-22f}, magnitude),
                    Catch::Contains("peer: element 1 is"));
  CHECK_THROWS_AS(check_sums("peer", 4, ours, {1, NAN}, magnitude), Error);
}

TEST_CASE("quiet: waits until the work is as fast as it was, not longer than its patience") {
  int looks = 0;
  double seconds = 1;
  const auto look = [&](int) {
    ++looks;
    return looks < 150 ? seconds : 1.0;
  };
  Quiet quiet(1000, look);
  quiet.wait(2);  // learns what is fast
  const int learned = looks;
  CHECK(quiet.waited_s() == 0);
  seconds = 1.5;
  quiet.wait(2);
  CHECK(looks >= 150);
  CHECK(looks < 160);
  CHECK(learned < 150);
  CHECK(quiet.in_vain() == 0);

  seconds = 1;
  Quiet impatient(1e-9, [&](int) { return seconds; });
  impatient.wait(1);
  seconds = 1.5;
  impatient.wait(1);
  CHECK(impatient.in_vain() == 1);
  Quiet(0, [](int) -> double { throw Error(ErrorCode::kInternal, "quiet", "looked"); }).wait(1);
}

}  // namespace
}  // namespace faultline::bench
