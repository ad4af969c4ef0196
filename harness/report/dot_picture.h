#pragma once

#include <string>

#include "harness/dot_detail.h"

namespace faultline::harness {

// One element of a product as HTML: its value on every unit, and the step in which two units part, term by term:
// which bits each unit keeps, which it cuts, and what comes out.
std::string dot_picture(const DotDetail& dot);

}  // namespace faultline::harness
