#include <iostream>

#include "harness/cli/command_line.h"
#include "harness/cli/open_ledger.h"
#include "harness/compare.h"
#include "harness/explain.h"

namespace faultline::harness {
namespace {

std::function<int()> define(Options& options) {
  const std::string& a = options.argument("a", "ledger, or the folder of a run");
  const std::string& b = options.argument("b", "ledger, or the folder of another run");
  const bool& as_json = options.flag("--json", "print the verdict as JSON");
  return [&] {
    const Verdict verdict = compare(open_ledger(a), open_ledger(b));
    std::cout << (as_json ? to_json(verdict).dump(2) + "\n" : verdict_text(verdict));
    return verdict.bitwise ? kAsExpected : kNotAsExpected;
  };
}

const Registered<Subcommand> kDiff{
    "diff", {"where two runs differ first, and why: exit code 0 equal, 1 different, 2 error", define}};

}  // namespace
}  // namespace faultline::harness
