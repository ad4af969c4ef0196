#pragma once

#include <string>

#include "harness/compare.h"
#include "harness/parting.h"

namespace faultline::harness {

// What an explanation may read.
struct Evidence {
  const Verdict& verdict;
  const Parting* parting;  // null: no place was found
  const Recipe& recipe_a;
  const Recipe& recipe_b;
};

// Sets verdict.cause (a few words) and verdict.sentence (place, size, cause, element) from the evidence. The
// kinds of causes are one table in explain.cc.
void explain(const Evidence& evidence, Verdict& verdict);

// The whole verdict for a terminal: the sentence, the element's bits, what differs in the manifests, whether
// the runs become equal again, where their loss scales part.
std::string verdict_text(const Verdict& verdict);

// The place in words: "the weight gradient of conv2 (conv2/dw, f16 [16, 6, 5, 5])".
std::string describe_place(const Difference& difference);

}  // namespace faultline::harness
