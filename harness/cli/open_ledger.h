#pragma once

#include <string>

#include "harness/ledger.h"

namespace faultline::harness {

// Opens the ledger that a person names by its file or by its run's folder. Throws as Ledger::open.
Ledger open_ledger(const std::string& path);

}  // namespace faultline::harness
