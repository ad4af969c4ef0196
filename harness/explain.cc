#include "harness/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/text.h"

namespace faultline::harness {
namespace {

const Difference& first(const Evidence& e) { return *e.verdict.first; }

bool is_place(const Evidence& e) { return e.parting && e.parting->a && e.parting->b; }

// Whether the two calls of the named op differ in one part of their arithmetic.
template <class Part>
bool arithmetic_differs(const Evidence& e, Part part) {
  if (!is_place(e) || first(e).is_leaf) return false;
  return part(e.parting->a->call.arithmetic) != part(e.parting->b->call.arithmetic);
}

bool leaf_is(const Evidence& e, const std::string& prefix) {
  return is_place(e) && first(e).is_leaf && first(e).place.rfind(prefix, 0) == 0;
}

bool recipes_differ_in(const Evidence& e, const std::string& prefix) {
  for (const auto& [path, value] : e.recipe_a.json().items()) {
    if (path.rfind(prefix, 0) == 0 && e.recipe_b.json().at(path) != value) return true;
  }
  return false;
}

bool manifests_differ_in(const Evidence& e, const std::vector<std::string>& parts) {
  return std::any_of(
      e.verdict.manifests.begin(), e.verdict.manifests.end(), [&](const ManifestDifference& d) {
        return std::find(parts.begin(), parts.end(), d.path.substr(0, d.path.find('/'))) != parts.end();
      });
}

bool planted(const Evidence& e) {
  const auto hits = [&](const Recipe& recipe) {
    return recipe.integer("plant.step") == first(e).step && recipe.text("plant.parameter") == first(e).place;
  };
  return is_place(e) && first(e).is_leaf && recipes_differ_in(e, "plant.") &&
         (hits(e.recipe_a) || hits(e.recipe_b));
}

// One kind of cause. `name` and `text` may use {place}, {ulp}, {unreplayed} and {orders}; the settings under
// `shown` that differ are listed.
struct Cause {
  const char* name;
  const char* text;
  std::vector<std::string> shown;
  bool (*applies)(const Evidence&);
};

// The first that applies is the cause: what was done on purpose, then what the op was given, then what
// surrounds it.
const std::vector<Cause>& causes() {
  static const std::vector<Cause> kCauses = {
      {"result not reproducible",
       "a replay does not give the digests of its own ledger ({unreplayed}): something that the manifest "
       "does not "
       "record decides the result",
       {"runtime.", "build", "cpu", "libraries"},
       [](const Evidence& e) { return !e.verdict.unreplayed.empty(); }},
      {"{ulp} ulp planted in {place}", "{ulp} ulp was planted in {place}", {"plant."}, planted},
      {"other operations",
       "the runs do different things here",
       {"precision.", "amp.", "model.", "optimizer."},
       [](const Evidence& e) { return e.parting && !e.parting->same_place; }},
      {"unrecorded state",
       "the op's inputs differ although everything recorded before it is equal",
       {"runtime."},
       [](const Evidence& e) { return !first(e).inputs_equal; }},
      {"setting of the op",
       "the op was called with other settings",
       {"optimizer.", "schedule.", "model.", "amp."},
       [](const Evidence& e) {
         return is_place(e) && !first(e).is_leaf &&
                e.parting->a->call.attributes.values() != e.parting->b->call.attributes.values();
       }},
      {"matrix unit",
       "the product ran on another matrix unit{orders}",
       {"precision.unit"},
       [](const Evidence& e) { return arithmetic_differs(e, [](const Arithmetic& a) { return a.unit; }); }},
      {"tf32 rounding",
       "the operands were rounded to tf32 in another way",
       {"precision."},
       [](const Evidence& e) {
         return arithmetic_differs(e, [](const Arithmetic& a) { return std::pair(a.tf32, a.tf32_rounding); });
       }},
      {"accumulator",
       "the product was accumulated in another format",
       {"precision.accumulate"},
       [](const Evidence& e) {
         return arithmetic_differs(e, [](const Arithmetic& a) { return a.accumulate; });
       }},
      {"k plan",
       "the sum over samples was cut in another way",
       {"precision.k_plan"},
       [](const Evidence& e) { return arithmetic_differs(e, adds_by_leaves); }},
      {"split-K",
       "the product was cut along k into another number of parts",
       {"precision.split_"},
       [](const Evidence& e) {
         return arithmetic_differs(
             e, [](const Arithmetic& a) { return std::pair(a.split_k, a.split_reduce_in_output); });
       }},
      {"order of additions",
       "the partial sums were added in another order",
       {"reduction."},
       [](const Evidence& e) {
         return arithmetic_differs(e, [](const Arithmetic& a) { return std::pair(a.order, a.order_seed); });
       }},
      {"data",
       "the runs trained on other examples",
       {"data.", "train.seed"},
       [](const Evidence& e) { return leaf_is(e, "batch/"); }},
      {"loss scale",
       "the loss scale is another",
       {"amp."},
       [](const Evidence& e) { return leaf_is(e, "scale"); }},
      {"learning rate",
       "the learning rate is another",
       {"schedule.", "train.", "amp.on_skip"},
       [](const Evidence& e) { return leaf_is(e, "lr"); }},
      {"random numbers",
       "the runs drew other random numbers",
       {"train.seed", "model."},
       [](const Evidence& e) { return leaf_is(e, "draws"); }},
      {"initial weights",
       "the runs started from other weights",
       {"train.seed", "model."},
       [](const Evidence& e) {
         return first(e).is_leaf && first(e).step == 0 && recipes_differ_in(e, "train.seed");
       }},
      {"threads or instruction set",
       "the op gives other bits under other threads or another instruction set",
       {"runtime."},
       [](const Evidence& e) { return recipes_differ_in(e, "runtime."); }},
      {"build or machine",
       "the runs were made by another build or on another machine",
       {"build", "cpu", "libraries", "platform"},
       [](const Evidence& e) {
         return manifests_differ_in(e, {"build", "cpu", "libraries", "platform"});
       }},
      {"unknown", "nothing that is recorded differs", {}, [](const Evidence&) { return true; }},
  };
  return kCauses;
}

std::string shown_settings(const Evidence& e, const Cause& cause) {
  std::vector<std::string> shown;
  for (const ManifestDifference& d : e.verdict.manifests) {
    const std::string path = d.path.rfind("recipe/", 0) == 0 ? d.path.substr(7) : d.path;
    const bool listed = std::any_of(cause.shown.begin(), cause.shown.end(),
                                    [&](const std::string& prefix) { return path.rfind(prefix, 0) == 0; });
    if (listed)
      shown.push_back(
          fmt::format("{} {} and {}", path, d.a.empty() ? "\"\"" : d.a, d.b.empty() ? "\"\"" : d.b));
  }
  return shown.empty() ? "" : " (" + join(shown, ", ") + ")";
}

// How the units of the two sides add: ": a100 in steps of 8 products, ...; h100 in steps of 16 products, ...".
std::string orders_text(const Difference& d) {
  if (!d.dot || d.dot->units.size() < 2) return "";
  const UnitResult &a = d.dot->units[0], &b = d.dot->units[1];
  return fmt::format(": {} adds in {}; {} in {}", a.unit, a.order, b.unit, b.order);
}

std::string filled(const char* text, const Verdict& verdict) {
  const Difference none;
  const Difference& d = verdict.first ? *verdict.first : none;
  return fmt::format(fmt::runtime(text), fmt::arg("place", d.place), fmt::arg("ulp", d.ulp),
                     fmt::arg("unreplayed", verdict.unreplayed), fmt::arg("orders", orders_text(d)));
}

// A value as its own format prints it: the shortest decimal that gives it back.
std::string value_text(double value, const std::string& format) {
  return format == "f64" ? fmt::format("{}", value) : fmt::format("{}", static_cast<float>(value));
}

std::string ulp_text(int64_t ulp) {
  return ulp == std::numeric_limits<int64_t>::max() ? "not a number on one side" : fmt::format("{} ulp", ulp);
}

std::string size_text(const Difference& d) {
  const std::string inputs = d.is_leaf        ? ""
                             : d.inputs_equal ? "its inputs are equal in both runs, "
                                              : "its inputs differ, ";
  return fmt::format("{}{} of {} elements {}, at most {}", inputs, d.differing, d.elements,
                     d.differing == 1 ? "differs" : "differ", ulp_text(d.largest_ulp));
}

std::string element_text(const Difference& d) {
  std::string text = fmt::format("Element {}: a = {}, b = {}, {}", to_string(d.index),
                                 value_text(d.a, d.format), value_text(d.b, d.format), ulp_text(d.ulp));
  if (!d.exact) return text + ".";
  return text + (d.nearer == "a" || d.nearer == "b" ? "; the exact value is nearer to " + d.nearer + "."
                                                    : "; both are equally near to the exact value.");
}

// What is said of runs in which no step differs.
std::string undiffering(const Verdict& v) {
  if (v.bitwise) return fmt::format("Bitwise equal: all {} steps and the final state.", v.steps_a);
  if (v.steps_a == v.steps_b) return fmt::format("Equal in all {} steps, but a run did not end.", v.steps_a);
  return fmt::format("Equal in the {} steps that both ledgers hold; a holds {}, b holds {}.",
                     std::min(v.steps_a, v.steps_b), v.steps_a, v.steps_b);
}

std::string headline(const Verdict& v) {
  if (!v.first) {
    return fmt::format("The ledgers differ first at step {}, and no replay shows where.",
                       v.first_differing_step);
  }
  const Difference& d = *v.first;
  const std::string place = fmt::format("At step {} {}", d.step, describe_place(d));
  if (d.elements == 0) return place + " is done differently, or in one run only.";
  return fmt::format("{} differs first: {}.", place, size_text(d));
}

}  // namespace

std::string describe_place(const Difference& d) {
  const std::string tensor = fmt::format("({}, {} {})", d.place, d.format, d.shape);
  if (d.is_leaf) return fmt::format("the value of {} before the step {}", d.place, tensor);
  const size_t slash = d.place.rfind('/');
  const std::string owner = d.place.substr(0, slash);
  const std::string part = slash == std::string::npos ? "" : d.place.substr(slash + 1);
  if (d.phase == "optimizer") return fmt::format("the {} of {} {}", part, owner, tensor);
  if (d.phase == "forward") return fmt::format("the output of {} {}", d.place, tensor);
  static const std::map<std::string, std::string> kGradients = {
      {"dw", "weight gradient"}, {"db", "bias gradient"}, {"dx", "input gradient"}};
  const auto gradient = kGradients.find(part);
  return fmt::format("the {} of {} {}", gradient == kGradients.end() ? "gradient" : gradient->second, owner,
                     tensor);
}

void explain(const Evidence& e, Verdict& verdict) {
  if (verdict.first_differing_step < 0) {
    verdict.cause = verdict.bitwise ? "" : "length";
    verdict.sentence = undiffering(verdict);
    return;
  }
  const auto cause =
      std::find_if(causes().begin(), causes().end(), [&](const Cause& c) { return c.applies(e); });
  verdict.cause = filled(cause->name, verdict);
  verdict.sentence = fmt::format("{} Cause: {}{}.", headline(verdict), filled(cause->text, verdict),
                                 shown_settings(e, *cause));
  if (verdict.first && verdict.first->elements > 0) verdict.sentence += " " + element_text(*verdict.first);
}

}  // namespace faultline::harness
