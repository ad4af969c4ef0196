#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/numerics/ulp.h"
#include "harness/explain.h"

namespace faultline::harness {
namespace {

std::string binary(const std::string& hex, const std::string& format) {
  return bits_binary(std::stoull(hex, nullptr, 16), dtype_from_name(format));
}

// A mark under every bit that differs.
std::string marks(const std::string& a, const std::string& b) {
  std::string marks(a.size(), ' ');
  for (size_t i = 0; i < a.size(); ++i) marks[i] = a[i] == b[i] ? ' ' : '^';
  return marks.substr(0, marks.find_last_not_of(' ') + 1);
}

std::string element_table(const Difference& d) {
  const std::string bits_a = binary(d.bits_a, d.format), bits_b = binary(d.bits_b, d.format);
  std::string text =
      fmt::format("\nelement   {} of {}, {} {}\n", to_string(d.index), d.place, d.format, d.shape);
  text += fmt::format("a         {:<24} {}  {}\n", d.a, d.bits_a, bits_a);
  text += fmt::format("b         {:<24} {}  {}\n", d.b, d.bits_b, bits_b);
  text += fmt::format("{:{}}{}\n", "", 10 + 25 + d.bits_a.size() + 2, marks(bits_a, bits_b));
  if (d.exact) text += fmt::format("exact     {:<24} nearer: {}\n", *d.exact, d.nearer);
  return text + fmt::format("tensor    {} of {} elements differ, by at most {:.4g}\n", d.differing,
                            d.elements, d.largest);
}

// How far a value is from the exact one, in units in the last place of the format.
double error_in_ulps(double value, double exact, Dtype format) {
  const DtypeInfo& f = info(format);
  const int smallest = 2 - (1 << (f.exponent_bits - 1));
  const int exponent = exact == 0 ? smallest : std::max(std::ilogb(exact), smallest);
  return std::ldexp(value - exact, f.fraction_bits - exponent);
}

// The element as every unit makes it that takes its format.
std::string units_table(const Difference& d) {
  const DotDetail& dot = *d.dot;
  const Dtype format = dtype_from_name(d.format);
  std::string text = fmt::format("\nThe same {} products of {}, accumulated in {}, on each unit:\n", dot.k,
                                 dot.format, dot.accumulator);
  for (const UnitResult& unit : dot.units) {
    text += fmt::format("  {:<12} {:<24} {} {:>+8.2f} ulp  {}\n", unit.unit, unit.value, unit.bits,
                        error_in_ulps(unit.value, dot.exact, format), unit.order);
  }
  return text + fmt::format("  {:<12} {}\n", "exact", dot.exact);
}

std::string schedule_text(const ScheduleParting& s) {
  const auto side = [](double scale, bool skipped) {
    return fmt::format("scale {}{}", scale, skipped ? ", skipped" : "");
  };
  std::string text = fmt::format("\nThe loss scales part at step {}: a {}; b {}.", s.step,
                                 side(s.scale_a, s.skipped_a), side(s.scale_b, s.skipped_b));
  if (!s.gradient.empty()) {
    text += fmt::format(" The gradient of {} was not finite, first in element {}.", s.gradient, s.element);
  }
  return text + "\n";
}

std::string manifest_table(const std::vector<ManifestDifference>& differences) {
  if (differences.empty()) return "\nThe manifests are equal.\n";
  size_t width = 8;
  for (const ManifestDifference& d : differences) width = std::max(width, d.path.size());
  std::string text = "\nThe manifests differ in:\n";
  for (const ManifestDifference& d : differences) {
    text += fmt::format("  {:<{}}  a: {:.60}\n  {:<{}}  b: {:.60}\n", d.path, width, d.a, "", width, d.b);
  }
  return text;
}

std::string again_text(const Verdict& v) {
  return v.equal_again_from
             ? fmt::format("\nEvery step from {} on is equal again, to the end.\n", *v.equal_again_from)
             : "\nThe runs do not become equal again.\n";
}

}  // namespace

std::string verdict_text(const Verdict& v) {
  std::string text = v.sentence + "\n";
  if (v.bitwise) return text + manifest_table(v.manifests);
  if (v.first && v.first->elements > 0) text += element_table(*v.first);
  if (v.first && v.first->dot) text += units_table(*v.first);
  if (v.first_differing_step >= 0) text += again_text(v);
  if (v.schedule) text += schedule_text(*v.schedule);
  text += manifest_table(v.manifests);
  return text + fmt::format(
                    "\n           {:>14} {:>14}\nsteps      {:>14} {:>14}\nfinal loss {:>14.6g} {:>14.6g}\n"
                    "accuracy   {:>14.4f} {:>14.4f}\nlargest weight difference {:.4g}\n",
                    "a", "b", v.steps_a, v.steps_b, v.final_loss_a, v.final_loss_b, v.accuracy_a,
                    v.accuracy_b, v.largest_weight_difference);
}

}  // namespace faultline::harness
