#include "engine/autograd/variable.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/autograd/execution.h"
#include "engine/base/digest.h"
#include "engine/base/error.h"

namespace faultline {
namespace {

// One applied op on the tape.
struct Node {
  uint64_t sequence;  // rising in forward order
  std::string name;
  const OpDef* op;
  OpCall call;
  Tensors outputs;
  std::vector<Variable> inputs;
};

uint64_t next_sequence() {
  thread_local uint64_t sequence = 0;
  return ++sequence;
}

// A shuffled order of additions is drawn per sum: the stream is named by step and op.
uint64_t order_stream(const std::string& name) {
  const Digest digest = digest_text("order/" + std::to_string(execution().step) + "/" + name);
  uint64_t stream = 0;
  for (int i = 0; i < 8; ++i) stream = stream << 8 | digest.bytes[i];
  return stream;
}

// Casts inputs that meet to the widest of their formats (NumericClass::kWidest).
std::vector<Variable> promoted(const OpDef& op, std::vector<Variable> inputs) {
  static const OpDef& cast = Registry<OpDef>::instance().find("cast");
  Dtype to = inputs[0].value().dtype();
  for (const Variable& input : inputs) to = widest(to, input.value().dtype());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].value().dtype() == to) continue;
    const Scope scope("cast_" + op.input_names[std::min(i, op.input_names.size() - 1)]);
    inputs[i] = apply(cast, {inputs[i]}, {{"to", std::string(name(to))}})[0];
  }
  return inputs;
}

}  // namespace

struct Variable::State {
  Tensor value, grad;
  bool requires_grad = false;
  std::string name;
  std::shared_ptr<Node> node;  // null for leaves
};

Variable::Variable(Tensor value, bool requires_grad, std::string name) : state_(std::make_shared<State>()) {
  *state_ = {std::move(value), {}, requires_grad, std::move(name), nullptr};
}

const Tensor& Variable::value() const { return state_->value; }
void Variable::set_value(Tensor value) { state_->value = std::move(value); }
const Tensor& Variable::grad() const { return state_->grad; }
void Variable::set_grad(Tensor grad) { state_->grad = std::move(grad); }
bool Variable::requires_grad() const { return state_->requires_grad; }
const std::string& Variable::name() const { return state_->name; }

std::vector<Variable> apply(const OpDef& op, std::vector<Variable> inputs, Attributes attributes) {
  Execution& around = execution();
  if (around.precision) inputs = around.precision->cast(op, std::move(inputs));
  if (op.numeric_class == NumericClass::kWidest && !inputs.empty()) inputs = promoted(op, std::move(inputs));
  auto node = std::make_shared<Node>();
  node->name = unique_name(around.scope.empty() ? op.name : around.scope);
  node->op = &op;
  bool requires_grad = false;
  for (const Variable& input : inputs) {
    node->call.inputs.push_back(input.defined() ? input.value() : Tensor());
    requires_grad |= input.defined() && input.requires_grad();
  }
  node->call.attributes = std::move(attributes);
  if (around.precision) node->call.arithmetic = around.precision->arithmetic(op);
  if (node->call.arithmetic.order == Order::kShuffled)
    node->call.arithmetic.order_stream = order_stream(node->name);
  node->outputs = run_op(Phase::kForward, node->name, op, node->call);
  node->inputs = std::move(inputs);
  node->sequence = next_sequence();

  std::vector<Variable> results;
  for (const Tensor& output : node->outputs) results.emplace_back(output);
  if (requires_grad && op.backward) {
    results[0].state()->requires_grad = true;
    results[0].state()->node = node;
  }
  return results;
}

namespace {

// Everything that the reverse pass keeps about one variable.
struct Arrived {
  Variable variable;
  Tensors grads;  // in order of arrival: the reverse order of forward use
};

Tensor sum_of(const std::string& name, const Tensors& grads) {
  if (grads.size() == 1) return grads[0];
  static const OpDef& accumulate = Registry<OpDef>::instance().find("accumulate");
  return run_op(Phase::kBackward, unique_name(name + "/accumulate"), accumulate, {grads, {}, {}})[0];
}

// The gradients of one node's inputs; the observer sees them.
Tensors gradients(const Node& node, const Tensor& grad_output) {
  OpGradCall call{node.call, node.outputs, grad_output, {}};
  for (const Variable& input : node.inputs) call.wanted.push_back(input.defined() && input.requires_grad());
  Tensors grads = evaluate_backward(*node.op, call);
  if (Observer* observer = execution().observer) {
    observer->on_op({Phase::kBackward, node.name, *node.op, node.call, &call, grads});
  }
  return grads;
}

}  // namespace

void Variable::backward(Tensor seed) const {
  if (!seed.defined()) seed = Tensor::full(value().shape(), value().dtype(), 1.0);
  if (seed.shape() != value().shape() || seed.dtype() != value().dtype()) {
    throw Error(ErrorCode::kShape, "backward", "seed " + seed.describe() + " for " + value().describe());
  }
  // Nodes are taken from the youngest down: every consumer of a variable comes before its producer.
  std::map<uint64_t, State*, std::greater<>> pending;
  std::map<State*, Arrived> arrived;
  std::vector<State*> leaves;
  const auto deliver = [&](const Variable& variable, Tensor grad) {
    State* state = variable.state();
    auto [it, first] = arrived.try_emplace(state, Arrived{variable, {}});
    it->second.grads.push_back(std::move(grad));
    if (!first) return;
    if (state->node)
      pending[state->node->sequence] = state;
    else
      leaves.push_back(state);
  };
  deliver(*this, std::move(seed));
  while (!pending.empty()) {
    State* state = pending.begin()->second;
    pending.erase(pending.begin());
    const auto entry = arrived.extract(state);
    const std::shared_ptr<Node> node = std::move(state->node);
    const Tensors grads = gradients(*node, sum_of(node->name, entry.mapped().grads));
    for (size_t i = 0; i < grads.size(); ++i) {
      if (grads[i].defined()) deliver(node->inputs[i], grads[i]);
    }
  }
  for (State* leaf : leaves) leaf->grad = sum_of(leaf->name, arrived.at(leaf).grads);
}

}  // namespace faultline
