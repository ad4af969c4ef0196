#include "harness/dot_detail.h"

#include <algorithm>

#include "engine/mma/unit.h"
#include "engine/numerics/exact_sum.h"
#include "engine/numerics/ulp.h"
#include "engine/ops/product_reference.h"

namespace faultline::harness {
namespace {

std::optional<Dot> dot_of(const Recorded& recorded, size_t output, int64_t element) {
  const OpDef* op = recorded.op;
  if (op == nullptr || !op->forward_dot) return std::nullopt;
  if (!recorded.grad_output.defined()) return op->forward_dot(recorded.call, element);
  return op->backward_dot({recorded.call, recorded.forward_outputs, recorded.grad_output, recorded.wanted},
                          output, element);
}

// The operands as the unit reads them.
Dot as_read(Dot dot, const Arithmetic& arithmetic, Dtype input) {
  if (input != Dtype::kTf32) return dot;
  for (std::vector<float>* operand : {&dot.a, &dot.b}) {
    for (float& value : *operand) value = tf32_from_f32(value, arithmetic.tf32_rounding);
  }
  return dot;
}

double exact_sum(const Dot& dot) {
  ExactSum sum;
  for (size_t k = 0; k < dot.a.size(); ++k) sum.add_product(dot.a[k], dot.b[k]);
  if (dot.has_bias) sum.add(dot.bias);
  return sum.round_f64();
}

// The names of the units to show: the sides' own, then one of each that adds in another way.
std::vector<std::string> shown_units(const std::string& a, const std::string& b, UnitFormat format) {
  const auto& units = Registry<Unit>::instance();
  std::vector<std::string> names = {a}, orders = {order_phrase(units.find(a), format)};
  const auto add = [&](const std::string& name) {
    names.push_back(name);
    orders.push_back(order_phrase(units.find(name), format));
  };
  if (b != a) add(b);
  for (const auto& [name, unit] : units.entries()) {
    const bool takes = std::find(unit.formats.begin(), unit.formats.end(), format) != unit.formats.end();
    const bool known = std::find(orders.begin(), orders.end(), order_phrase(unit, format)) != orders.end();
    if (takes && unit.dot && !known) add(name);
  }
  return names;
}

DotStep step_of(const StepTrace& trace, int64_t first) {
  DotStep step{first,
               trace.exponent,
               trace.quantum,
               trace.special,
               trace.accumulator.exact,
               trace.accumulator.kept,
               {},
               {},
               trace.sum,
               trace.result};
  for (const StepTrace::Term& term : trace.products) {
    step.products.push_back(term.exact);
    step.kept.push_back(term.kept);
  }
  return step;
}

UnitWindow window_of(const std::string& name, UnitFormat format, const Dot& dot, int64_t first, float start) {
  const Unit& unit = Registry<Unit>::instance().find(name);
  const int64_t terms = std::min<int64_t>(kDotWindow, dot.a.size() - first);
  const float *a = dot.a.data() + first, *b = dot.b.data() + first;
  UnitWindow window{name, {}, unit.dot(format, a, b, terms, start)};
  if (const StepRule* rule = step_rule(unit.rules, format)) {
    int64_t k = first;
    for (const StepTrace& trace : trace_fused_dot(*rule, a, b, terms, start)) {
      window.steps.push_back(step_of(trace, k));
      k += rule->terms;
    }
  }
  return window;
}

// Finds the first products after which the chains of two units differ.
void find_window(const std::string& a, const std::string& b, UnitFormat format, const Dot& dot,
                 DotDetail& detail) {
  const UnitDot &dot_a = Registry<Unit>::instance().find(a).dot,
                &dot_b = Registry<Unit>::instance().find(b).dot;
  if (a == b || !dot_a || !dot_b) return;
  float sum = 0;
  for (int64_t k = 0; k < detail.k; k += kDotWindow) {
    const int64_t terms = std::min(kDotWindow, detail.k - k);
    const float next = dot_a(format, dot.a.data() + k, dot.b.data() + k, terms, sum);
    const float other = dot_b(format, dot.a.data() + k, dot.b.data() + k, terms, sum);
    if (bits_of(next, Dtype::kF32) != bits_of(other, Dtype::kF32)) {
      detail.window_first = k;
      detail.window_start = sum;
      for (const UnitResult& unit : detail.units) {
        if (Registry<Unit>::instance().find(unit.unit).dot) {
          detail.window.push_back(window_of(unit.unit, format, dot, k, sum));
        }
      }
      return;
    }
    sum = next;
  }
}

}  // namespace

std::optional<DotDetail> dot_detail(const Recorded& a, const Recorded& b, size_t output, int64_t element) {
  const std::optional<Dot> dot = dot_of(a, output, element);
  if (!dot) return std::nullopt;
  const Dtype stored = a.call.inputs[0].dtype(), out = a.outputs[output].dtype();
  if (stored == Dtype::kF64) return std::nullopt;
  const Arithmetic &arithmetic_a = a.call.arithmetic, &arithmetic_b = b.call.arithmetic;
  const UnitFormat format{unit_input(arithmetic_a, stored), arithmetic_a.accumulate};
  DotDetail detail;
  detail.k = static_cast<int64_t>(dot->a.size());
  detail.format = name(format.input);
  detail.accumulator = name(format.accumulate);
  const Dot read = as_read(*dot, arithmetic_a, format.input);
  detail.exact = exact_sum(read);
  for (const std::string& unit : shown_units(arithmetic_a.unit, arithmetic_b.unit, format)) {
    Arithmetic arithmetic = unit == arithmetic_b.unit ? arithmetic_b : arithmetic_a;
    arithmetic.unit = unit;
    const bool recorded = unit == a.call.arithmetic.unit || unit == b.call.arithmetic.unit;
    const Tensor& side = (unit == arithmetic_a.unit ? a : b).outputs[output];
    const double value = recorded ? side.at(element) : dot_value(*dot, stored, out, arithmetic);
    detail.units.push_back({unit, value, bits_hex(bits_of(value, out), out),
                            order_phrase(Registry<Unit>::instance().find(unit), format)});
  }
  find_window(arithmetic_a.unit, arithmetic_b.unit, format, read, detail);
  return detail;
}

}  // namespace faultline::harness
