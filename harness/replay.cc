#include "harness/replay.h"

#include "engine/base/error.h"
#include "harness/digest_observer.h"

namespace faultline::harness {
namespace {

Tensors to_f64(const Tensors& tensors) {
  Tensors wide;
  for (const Tensor& t : tensors) wide.push_back(t.defined() && is_float(t.dtype()) ? t.to(Dtype::kF64) : t);
  return wide;
}

// Keeps every leaf and op of the steps it is asked for. Ops do not write into tensors that others hold, so
// the tensors are kept as they are, except leaves: parameters are replaced, not written, and so are safe too.
class Recorder : public Trainer::Witness {
 public:
  Recorder(std::vector<Recorded>& out, const int64_t& step) : out_(out), step_(step) {}

  void on_leaf(const std::string& name, const Tensor& value) override {
    Recorded leaf;
    leaf.step = step_;
    leaf.is_leaf = true;
    leaf.name = name;
    leaf.outputs = {value};
    out_.push_back(std::move(leaf));
  }

  void on_op(const OpEvent& event) override {
    Recorded op;
    op.step = step_;
    op.phase = event.phase;
    op.name = event.name;
    op.op = &event.op;
    op.call = event.call;
    op.outputs = event.outputs;
    if (event.grad_call) {
      op.forward_outputs = event.grad_call->outputs;
      op.grad_output = event.grad_call->grad_output;
      op.wanted = event.grad_call->wanted;
    }
    out_.push_back(std::move(op));
  }

 private:
  std::vector<Recorded>& out_;
  const int64_t& step_;
};

template <class Forward, class Backward>
Tensors evaluate(const Recorded& r, const OpCall& call, const Tensors& outputs, const Tensor& grad_output,
                 Forward forward, Backward backward) {
  if (r.is_leaf) return r.outputs;
  return r.grad_output.defined() ? backward(OpGradCall{call, outputs, grad_output, r.wanted}) : forward(call);
}

}  // namespace

std::vector<std::pair<std::string, Tensor>> Recorded::inputs() const {
  std::vector<std::pair<std::string, Tensor>> inputs;
  if (is_leaf) return inputs;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const bool named = i < op->input_names.size();
    inputs.emplace_back(named ? op->input_names[i] : "input " + std::to_string(i), call.inputs[i]);
  }
  if (!grad_output.defined()) return inputs;
  for (size_t i = 0; i < forward_outputs.size(); ++i) {
    inputs.emplace_back(i == 0 ? "output" : "output " + std::to_string(i), forward_outputs[i]);
  }
  inputs.emplace_back("grad_output", grad_output);
  return inputs;
}

std::string Recorded::output_name(size_t i) const {
  return is_leaf ? name : harness::output_name(*op, name, grad_output.defined(), i);
}

Tensors Recorded::evaluate_reference() const {
  return evaluate(*this, call, forward_outputs, grad_output, op->forward_reference, op->backward_reference);
}

Tensors Recorded::evaluate_kernels() const {
  return evaluate(
      *this, call, forward_outputs, grad_output, [&](const OpCall& c) { return evaluate_forward(*op, c); },
      [&](const OpGradCall& c) { return evaluate_backward(*op, c); });
}

Tensors Recorded::evaluate_f64() const {
  if (is_leaf) return outputs;
  const OpCall wide{to_f64(call.inputs), call.attributes, {}};
  const Tensors wide_outputs = to_f64(forward_outputs);
  const Tensor wide_grad = grad_output.defined() ? grad_output.to(Dtype::kF64) : Tensor();
  return evaluate(*this, wide, wide_outputs, wide_grad, op->forward_reference, op->backward_reference);
}

std::vector<Recorded> replay(const Recipe& recipe, int64_t first, int64_t last) {
  Recipe detailed = recipe;
  detailed.set("ledger.detail", "off");
  detailed.set("ledger.underflow_every", "0");
  apply_runtime(detailed);
  Trainer trainer(detailed);
  if (first < 0 || first > last || last > trainer.steps()) {
    throw Error(ErrorCode::kArgument, "replay",
                "steps " + std::to_string(first) + " .. " + std::to_string(last) + " of " +
                    std::to_string(trainer.steps()));
  }
  std::vector<Recorded> recorded;
  int64_t step = 0;
  Recorder recorder(recorded, step);
  for (step = 0; step <= last && step < trainer.steps(); ++step) {
    if (step == first) trainer.set_witness(&recorder);
    trainer.step();
  }
  trainer.set_witness(nullptr);
  if (last == trainer.steps()) {
    for (const auto& [name, value] : trainer.state()) recorder.on_leaf(name, value);
  }
  return recorded;
}

}  // namespace faultline::harness
