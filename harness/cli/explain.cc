#include "harness/explain.h"

#include <fmt/format.h>

#include <iostream>

#include "harness/cli/command_line.h"
#include "harness/cli/open_ledger.h"
#include "harness/compare.h"
#include "harness/growth.h"

namespace faultline::harness {
namespace {

std::string growth_text(const Ledger& a, const Ledger& b) {
  std::string text = fmt::format("\n{:>8}  {:<24} {:>12} {:>12} {:>12}\n", "step", "parameter", "max |a-b|",
                                 "relative", "ulp");
  for (const GrowthPoint& p : growth(a, b)) {
    text += fmt::format("{:>8}  {:<24} {:>12.4g} {:>12.4g} {:>12}\n", p.step, p.parameter, p.distance,
                        p.relative, p.ulps);
  }
  return text;
}

std::function<int()> define(Options& options) {
  const std::string& path_a = options.argument("a", "ledger, or the folder of a run");
  const std::string& path_b = options.argument("b", "ledger, or the folder of another run");
  return [&] {
    const Ledger a = open_ledger(path_a), b = open_ledger(path_b);
    const Verdict verdict = compare(a, b);
    std::cout << verdict_text(verdict);
    if (!verdict.bitwise) std::cout << growth_text(a, b);
    return verdict.bitwise ? kAsExpected : kNotAsExpected;
  };
}

const Registered<Subcommand> kExplain{
    "explain", {"as diff, and how the difference grew from snapshot to snapshot", define}};

}  // namespace
}  // namespace faultline::harness
