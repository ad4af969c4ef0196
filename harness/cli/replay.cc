#include "harness/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "engine/base/error.h"
#include "engine/base/text.h"
#include "engine/tensor/digest.h"
#include "harness/cli/command_line.h"
#include "harness/cli/open_ledger.h"

namespace faultline::harness {
namespace {

std::string tensor_text(const Tensor& tensor) {
  if (!tensor.defined()) return "none";
  double low = INFINITY, high = -INFINITY;
  int64_t zeros = 0, nonfinite = 0;
  for (const double v : tensor.to_vector()) {
    if (!std::isfinite(v)) {
      ++nonfinite;
      continue;
    }
    zeros += v == 0;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  return fmt::format("{} {}  from {:.6g} to {:.6g}, {} zero, {} not finite", digest(tensor).hex(),
                     tensor.describe(), low, high, zeros, nonfinite);
}

std::string arithmetic_text(const Arithmetic& a) {
  std::string text =
      fmt::format("unit {}, accumulates in {}, split_k {}, order {}", a.unit, name(a.accumulate), a.split_k,
                  a.order == Order::kShuffled ? fmt::format("shuffled by seed {}", a.order_seed) : "ordered");
  if (!adds_by_leaves(a)) text += ", samples in one chain";
  if (a.tf32) text += fmt::format(", operands rounded to tf32 ({})", name(a.tf32_rounding));
  return text;
}

std::string line(const Recorded& r, size_t output) {
  return fmt::format("{:<10} {:<28} {:<16} {}\n", r.is_leaf ? "leaf" : name(r.phase), r.output_name(output),
                     r.op ? r.op->name : "", tensor_text(r.outputs[output]));
}

std::string details(const Recorded& r) {
  if (r.is_leaf) return "";
  std::string text = fmt::format("  {}\n", arithmetic_text(r.call.arithmetic));
  if (!r.call.attributes.values().empty()) text += fmt::format("  {}\n", r.call.attributes.describe());
  for (const auto& [input, tensor] : r.inputs())
    text += fmt::format("  {:<12} {}\n", input, tensor_text(tensor));
  return text;
}

std::string step_text(const std::vector<Recorded>& recorded, const std::string& op) {
  std::string text;
  std::vector<std::string> names;
  for (const Recorded& r : recorded) {
    names.push_back(r.name);
    if (!op.empty() && r.name != op) continue;
    for (size_t i = 0; i < r.outputs.size(); ++i) {
      if (r.outputs[i].defined()) text += line(r, i);
    }
    if (!op.empty()) text += details(r);
  }
  if (!text.empty()) return text;
  const std::string guess = nearest(op, names);
  throw Error(
      ErrorCode::kNotFound, "--op",
      fmt::format("the step has no '{}'{}", op, guess.empty() ? "" : ", did you mean '" + guess + "'?"));
}

std::function<int()> define(Options& options) {
  const std::string& path = options.argument("a", "ledger, or the folder of a run");
  const int64_t& step = options.integer("--step", 0, "step to make again");
  const std::string& op = options.text("--op", "", "only this op or leaf, with its inputs: conv2");
  return [&] {
    const Ledger ledger = open_ledger(path);
    const Recipe recipe = Recipe::from_json(ledger.manifest().at("recipe"), ledger.path());
    std::cout << step_text(replay(recipe, step, step), op);
    return kAsExpected;
  };
}

const Registered<Subcommand> kReplay{
    "replay", {"makes one step of a run again and prints every tensor's digest and range", define}};

}  // namespace
}  // namespace faultline::harness
