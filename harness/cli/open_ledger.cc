#include "harness/cli/open_ledger.h"

#include <filesystem>

#include "harness/run.h"

namespace faultline::harness {

Ledger open_ledger(const std::string& path) {
  return Ledger::open(std::filesystem::is_directory(path) ? path + "/" + kLedgerFile : path);
}

}  // namespace faultline::harness
