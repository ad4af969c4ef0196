#include "harness/verify.h"

#include <iostream>
#include <random>

#include "engine/base/error.h"
#include "harness/cli/command_line.h"
#include "harness/cli/open_ledger.h"

namespace faultline::harness {
namespace {

int64_t random_step(const Ledger& ledger) {
  if (ledger.size() == 0)
    throw Error(ErrorCode::kData, ledger.path(), "holds no step: the run was interrupted early");
  std::random_device device;
  return std::uniform_int_distribution<int64_t>(0, ledger.size() - 1)(device);
}

std::function<int()> define(Options& options) {
  const std::string& path = options.argument("a", "ledger, or the folder of a run");
  const int64_t& chosen = options.integer("--step", -1, "train again up to this step; -1: a random one");
  return [&] {
    const Ledger ledger = open_ledger(path);
    const int64_t step = chosen < 0 ? random_step(ledger) : chosen;
    const std::vector<std::string> findings = verify(ledger, step);
    for (const std::string& finding : findings) std::cout << finding << "\n";
    if (findings.empty()) {
      std::cout << "The ledger agrees with itself, its " << ledger.size()
                << " rates are those of its schedule, and training again gives its digests of steps 0 to "
                << step << ".\n";
    }
    return findings.empty() ? kAsExpected : kNotAsExpected;
  };
}

const Registered<Subcommand> kVerify{
    "verify", {"whether a ledger agrees with itself, with its schedule and with a replay", define}};

}  // namespace
}  // namespace faultline::harness
