#include "engine/optim/adam.h"

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/ops/samples.h"
#include "engine/optim/update.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/optim/adam.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/kernels/convert-inl.h"

#ifndef FAULTLINE_OPTIM_ADAM_ONCE
#define FAULTLINE_OPTIM_ADAM_ONCE
namespace faultline {
namespace {

template <class T>
struct AdamRule {
  explicit AdamRule(const OpCall& call) {
    using std::sqrt;
    const auto setting = [&](const char* key) { return call.attributes.real(key); };
    const T one = exactly<T>(1);
    beta1 = coefficient<T>(setting("beta1"));
    beta2 = coefficient<T>(setting("beta2"));
    rest1 = coefficient<T>(1 - setting("beta1"));
    rest2 = coefficient<T>(1 - setting("beta2"));
    eps = coefficient<T>(setting("eps"));
    weight_decay = coefficient<T>(setting("weight_decay"));
    const T lr = coefficient<T>(setting("lr"));
    step = -lr / coefficient<T>(setting("c1"));
    root_c2 = sqrt(coefficient<T>(setting("c2")));
    decoupled = call.attributes.integer("decoupled") != 0;
    coupled = !decoupled && setting("weight_decay") != 0;
    keep = decoupled ? one - lr * weight_decay : one;
  }

  void operator()(T& w, T g, T& m, T& v) const {
    using std::fma;
    using std::sqrt;
    if (coupled) g = fma(weight_decay, w, g);
    if (decoupled) w = w * keep;
    m = fma(beta1, m, rest1 * g);
    v = fma(beta2, v, (rest2 * g) * g);
    w = fma(step, m / (sqrt(v) / root_c2 + eps), w);
  }

  T beta1, beta2, rest1, rest2, eps, weight_decay, step, root_c2, keep;
  bool decoupled, coupled;
};

struct AdamRows {
  const float *w_in, *g, *m_in, *v_in;
  float *w_out, *m_out, *v_out;
};

}  // namespace
}  // namespace faultline
#endif

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

HWY_NOINLINE void UpdateRange(const AdamRule<float>& rule, const AdamRows& rows, int64_t begin, int64_t end) {
  const auto all = [](float value) HWY_ATTR { return hn::Set(DF(), value); };
  const VF beta1 = all(rule.beta1), beta2 = all(rule.beta2), rest1 = all(rule.rest1), rest2 = all(rule.rest2),
           eps = all(rule.eps), weight_decay = all(rule.weight_decay), step = all(rule.step),
           root_c2 = all(rule.root_c2), keep = all(rule.keep);
  ForVectors(end - begin, [&](auto vector, int64_t offset) HWY_ATTR {
    const int64_t i = begin + offset;
    VF w = vector.load(rows.w_in + i), g = vector.load(rows.g + i);
    if (rule.coupled) g = hn::MulAdd(weight_decay, w, g);
    if (rule.decoupled) w = hn::Mul(w, keep);
    const VF m = hn::MulAdd(beta1, vector.load(rows.m_in + i), hn::Mul(rest1, g));
    const VF v = hn::MulAdd(beta2, vector.load(rows.v_in + i), hn::Mul(hn::Mul(rest2, g), g));
    const VF direction = hn::Div(m, hn::Add(hn::Div(hn::Sqrt(v), root_c2), eps));
    vector.store(hn::MulAdd(step, direction, w), rows.w_out + i);
    vector.store(m, rows.m_out + i);
    vector.store(v, rows.v_out + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace faultline
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace faultline {
namespace {

HWY_EXPORT(UpdateRange);

void check_adam(const OpCall& call) {
  check_update("adam_update", call);
  if (call.inputs.size() != 4) throw Error(ErrorCode::kArgument, "adam_update", "takes w, g, m and v");
}

Tensors adam_forward(const OpCall& call) {
  const AdamRule<float> rule(call);
  Tensors in, out;
  for (const Tensor& tensor : call.inputs) in.push_back(tensor.contiguous());
  for (int k = 0; k < 3; ++k) out.push_back(Tensor::empty(in[0].shape(), Dtype::kF32));
  const AdamRows rows = {in[0].data<float>(),          in[1].data<float>(),
                         in[2].data<float>(),          in[3].data<float>(),
                         out[0].mutable_data<float>(), out[1].mutable_data<float>(),
                         out[2].mutable_data<float>()};
  parallel_for("adam_update", out[0].size(), kUpdateGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(UpdateRange)(rule, rows, begin, end);
  });
  return out;
}

struct AdamStep {
  double lr, c1, c2;
};

Attributes adam_attributes(const OptimizerConfig& config, bool decoupled, const AdamStep& step) {
  return {{"lr", step.lr},
          {"c1", step.c1},
          {"c2", step.c2},
          {"beta1", config.beta1},
          {"beta2", config.beta2},
          {"eps", config.eps},
          {"weight_decay", config.weight_decay},
          {"decoupled", int64_t{decoupled}}};
}

std::vector<Sample> adam_samples(Fill fill) {
  const auto tensors = [&](const Shape& shape) -> Tensors {
    return {sample_tensor(shape, fill, 0), sample_tensor(shape, fill, 1), sample_tensor(shape, fill, 2),
            positive_sample_tensor(shape, fill, 3)};
  };
  OptimizerConfig plain, decay;
  decay.weight_decay = 0.125;
  const AdamStep first = {0.01, 1 - 0.9, 1 - 0.999}, later = {0.002, 1 - 0.729, 1 - 0.997002999};
  return {{"one element", tensors({1}), adam_attributes(plain, false, first)},
          {"weight decay", tensors({3, 7}), adam_attributes(decay, false, later)},
          {"decoupled weight decay", tensors({5, 13}), adam_attributes(decay, true, later)},
          {"several threads", tensors({512, 201}), adam_attributes(decay, true, first)}};
}

const RegisteredOp kAdamUpdate{
    "adam_update",
    {.numeric_class = NumericClass::kF32,
     .input_names = {"w", "g", "m", "v"},
     .check = check_adam,
     .forward = adam_forward,
     .backward = {},  // an update has no derivative
     .forward_reference = [](const OpCall& call) { return update_reference<AdamRule>(call, 3); },
     .backward_reference = {},
     .error_bound = update_error_bound<AdamRule>,
     .samples = adam_samples}};

std::unique_ptr<Optimizer> make_adam(const OptimizerConfig& config, bool decoupled) {
  const char* name = decoupled ? "adamw" : "adam";
  constexpr double kBelowOne = 0x1.fffffffffffffp-1;
  check_setting(name, "beta1", config.beta1, 0, kBelowOne);
  check_setting(name, "beta2", config.beta2, 0, kBelowOne);
  check_setting(name, "eps", config.eps, 0, 1e9);
  check_setting(name, "weight_decay", config.weight_decay, 0, 1e9);
  return std::make_unique<Adam>(config, decoupled);
}

const Registered<OptimizerKind> kAdam{
    "adam", {[](const OptimizerConfig& config) { return make_adam(config, false); }}};
const Registered<OptimizerKind> kAdamW{
    "adamw", {[](const OptimizerConfig& config) { return make_adam(config, true); }}};

}  // namespace

double Adam::advance_power(const std::string& name, double beta) {
  Tensor& power = state_[name];
  power = Tensor::full({}, Dtype::kF64, beta * (power.defined() ? power.at(0) : 1.0));
  return power.at(0);
}

void Adam::step(const std::vector<Variable>& parameters, double lr) {
  check_gradients("adam", parameters);
  const double c1 = 1 - advance_power("beta1_power", config_.beta1);
  const double c2 = 1 - advance_power("beta2_power", config_.beta2);
  const Attributes attributes = adam_attributes(config_, decoupled_, {lr, c1, c2});
  for (Variable parameter : parameters) {
    Tensor& m = state_[parameter.name() + "/m"];
    Tensor& v = state_[parameter.name() + "/v"];
    if (!m.defined()) m = v = Tensor::zeros(parameter.value().shape(), Dtype::kF32);
    const Tensors updated = run_op(Phase::kOptimizer, parameter.name() + "/update", *kAdamUpdate,
                                   {{parameter.value(), parameter.grad(), m, v}, attributes, {}});
    parameter.set_value(updated[0]);
    m = updated[1];
    v = updated[2];
  }
}

}  // namespace faultline
#endif  // HWY_ONCE
