#include "engine/optim/sgd.h"

#include "engine/autograd/execution.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/ops/samples.h"
#include "engine/optim/update.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/optim/sgd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "engine/kernels/convert-inl.h"

#ifndef FAULTLINE_OPTIM_SGD_ONCE
#define FAULTLINE_OPTIM_SGD_ONCE
namespace faultline {
namespace {

template <class T>
struct SgdRule {
  explicit SgdRule(const OpCall& call)
      : lr(coefficient<T>(call.attributes.real("lr"))),
        momentum(coefficient<T>(call.attributes.real("momentum"))),
        weight_decay(coefficient<T>(call.attributes.real("weight_decay"))),
        nesterov(call.attributes.integer("nesterov") != 0),
        first(call.inputs.size() < 3) {}

  void operator()(T& w, T g, T& m, T&) const {
    using std::fma;
    g = fma(weight_decay, w, g);
    m = first ? g : fma(momentum, m, g);
    const T d = nesterov ? fma(momentum, m, g) : m;
    w = fma(-lr, d, w);
  }

  T lr, momentum, weight_decay;
  bool nesterov, first;
};

// Rows of one update; m_in is null on the first step, m_out where no momentum is kept.
struct SgdRows {
  const float *w_in, *g, *m_in;
  float *w_out, *m_out;
};

}  // namespace
}  // namespace faultline
#endif

HWY_BEFORE_NAMESPACE();
namespace faultline {
namespace HWY_NAMESPACE {
namespace {

HWY_NOINLINE void UpdateRange(const SgdRule<float>& rule, const SgdRows& rows, int64_t begin, int64_t end) {
  const DF d;
  const VF negative_lr = hn::Set(d, -rule.lr), momentum = hn::Set(d, rule.momentum),
           weight_decay = hn::Set(d, rule.weight_decay);
  ForVectors(end - begin, [&](auto vector, int64_t offset) HWY_ATTR {
    const int64_t i = begin + offset;
    const VF w = vector.load(rows.w_in + i);
    const VF g = hn::MulAdd(weight_decay, w, vector.load(rows.g + i));
    const VF m = rule.first ? g : hn::MulAdd(momentum, vector.load(rows.m_in + i), g);
    const VF direction = rule.nesterov ? hn::MulAdd(momentum, m, g) : m;
    vector.store(hn::MulAdd(negative_lr, direction, w), rows.w_out + i);
    if (rows.m_out) vector.store(m, rows.m_out + i);
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

bool keeps_momentum(const OpCall& call) { return call.attributes.real("momentum") != 0; }

void check_sgd(const OpCall& call) {
  check_update("sgd_update", call);
  if (call.inputs.size() > 3 || (call.inputs.size() == 3 && !keeps_momentum(call))) {
    throw Error(ErrorCode::kArgument, "sgd_update", "takes w, g and, with momentum alone, m");
  }
}

Tensors sgd_forward(const OpCall& call) {
  const SgdRule<float> rule(call);
  Tensors in;
  for (const Tensor& tensor : call.inputs) in.push_back(tensor.contiguous());
  Tensors out = {Tensor::empty(in[0].shape(), Dtype::kF32)};
  if (keeps_momentum(call)) out.push_back(Tensor::empty(in[0].shape(), Dtype::kF32));
  const SgdRows rows = {in[0].data<float>(), in[1].data<float>(), rule.first ? nullptr : in[2].data<float>(),
                        out[0].mutable_data<float>(),
                        keeps_momentum(call) ? out[1].mutable_data<float>() : nullptr};
  parallel_for("sgd_update", out[0].size(), kUpdateGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(UpdateRange)(rule, rows, begin, end);
  });
  return out;
}

Attributes sgd_attributes(const OptimizerConfig& config, double lr) {
  return {{"lr", lr},
          {"momentum", config.momentum},
          {"weight_decay", config.weight_decay},
          {"nesterov", int64_t{config.nesterov}}};
}

std::vector<Sample> sgd_samples(Fill fill) {
  const auto tensors = [&](const Shape& shape, int count) {
    Tensors inputs;
    for (int salt = 0; salt < count; ++salt) inputs.push_back(sample_tensor(shape, fill, salt));
    return inputs;
  };
  const OptimizerConfig plain, momentum = {.momentum = 0.5, .weight_decay = 0.25},
                               nesterov = {.momentum = 0.75, .nesterov = true, .weight_decay = 0.125};
  return {{"one element", tensors({1}, 2), sgd_attributes(plain, 0.5)},
          {"first step with momentum", tensors({3, 7}, 2), sgd_attributes(momentum, 0.25)},
          {"momentum", tensors({5, 13}, 3), sgd_attributes(momentum, 0.25)},
          {"Nesterov, several threads", tensors({512, 201}, 3), sgd_attributes(nesterov, 0.125)}};
}

const RegisteredOp kSgdUpdate{
    "sgd_update",
    {.numeric_class = NumericClass::kF32,
     .input_names = {"w", "g", "m"},
     .check = check_sgd,
     .forward = sgd_forward,
     .backward = {},  // an update has no derivative
     .forward_reference =
         [](const OpCall& call) { return update_reference<SgdRule>(call, keeps_momentum(call) ? 2 : 1); },
     .backward_reference = {},
     .error_bound = update_error_bound<SgdRule>,
     .samples = sgd_samples}};

const Registered<OptimizerKind> kSgd{"sgd", {[](const OptimizerConfig& config) -> std::unique_ptr<Optimizer> {
                                       check_setting("sgd", "momentum", config.momentum, 0, 1);
                                       check_setting("sgd", "weight_decay", config.weight_decay, 0, 1e9);
                                       if (config.nesterov && config.momentum == 0) {
                                         throw Error(ErrorCode::kArgument, "sgd",
                                                     "nesterov needs a momentum above 0");
                                       }
                                       return std::make_unique<Sgd>(config);
                                     }}};

}  // namespace

void Sgd::step(const std::vector<Variable>& parameters, double lr) {
  check_gradients("sgd", parameters);
  for (Variable parameter : parameters) {
    const std::string momentum = parameter.name() + "/momentum";
    OpCall call{{parameter.value(), parameter.grad()}, sgd_attributes(config_, lr), {}};
    if (const auto kept = state_.find(momentum); kept != state_.end()) call.inputs.push_back(kept->second);
    const Tensors updated =
        run_op(Phase::kOptimizer, parameter.name() + "/update", *kSgdUpdate, std::move(call));
    parameter.set_value(updated[0]);
    if (updated.size() > 1) state_[momentum] = updated[1];
  }
}

}  // namespace faultline
#endif  // HWY_ONCE
