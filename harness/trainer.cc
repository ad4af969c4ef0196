#include "harness/trainer.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "amp/gradients.h"
#include "amp/policy.h"
#include "amp/scaler.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/base/text.h"
#include "engine/numerics/ulp.h"
#include "engine/ops/cross_entropy.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "engine/tensor/digest.h"
#include "harness/digest_observer.h"
#include "models/data/dataset.h"
#include "models/data/sampler.h"
#include "models/zoo/model.h"

namespace faultline::harness {
namespace {

using models::Datasets;

constexpr int64_t kEvaluationBatch = 250;

models::DataConfig data_config(const Recipe& recipe) {
  return {recipe.text("data.name"),
          recipe.text("data.path"),
          recipe.integer("data.train_examples"),
          recipe.integer("data.test_examples"),
          recipe.integer("data.image_size"),
          static_cast<uint64_t>(recipe.integer("train.seed"))};
}

// Data sets are kept for the life of the process: a comparison trains two runs on the same one.
std::shared_ptr<const Datasets> load(const Recipe& recipe) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const Datasets>> loaded;
  const std::lock_guard lock(mutex);
  const models::DataConfig c = data_config(recipe);
  std::shared_ptr<const Datasets>& data = loaded[fmt::format(
      "{}\n{}\n{} {} {} {}", c.name, c.path, c.train_examples, c.test_examples, c.image_size, c.seed)];
  if (!data) data = std::make_shared<Datasets>(models::load_datasets(c));
  return data;
}

std::unique_ptr<models::Model> make_model(const Recipe& recipe) {
  return models::make_model(recipe.text("model.name"), {{"hidden", recipe.integer("model.hidden")}},
                            static_cast<uint64_t>(recipe.integer("train.seed")));
}

amp::Policy policy(const Recipe& recipe) {
  amp::Policy policy;
  policy.compute = dtype_from_name(recipe.text("precision.compute"));
  policy.unit = recipe.text("precision.unit");
  policy.accumulate = dtype_from_name(recipe.text("precision.accumulate"));
  policy.tf32_rounding = tf32_rounding_from_name(recipe.text("precision.tf32_rounding"));
  const std::string& k_plan = recipe.text("precision.k_plan");
  if (k_plan != "unit") policy.k_plan = k_plan == "leaf" ? KPlanRule::kLeaf : KPlanRule::kChain;
  policy.split_k = static_cast<int>(recipe.integer("precision.split_k"));
  policy.split_reduce_in_output = recipe.text("precision.split_reduce") == "output";
  policy.order = recipe.text("reduction.order") == "shuffled" ? Order::kShuffled : Order::kOrdered;
  policy.order_seed = static_cast<uint64_t>(recipe.integer("reduction.seed"));
  return policy;
}

std::unique_ptr<amp::LossScaler> make_scaler(const Recipe& recipe) {
  return amp::make_scaler({recipe.text("amp.scaler"), recipe.real("amp.static_scale"),
                           recipe.real("amp.init_scale"), recipe.real("amp.growth_factor"),
                           recipe.real("amp.backoff_factor"), recipe.integer("amp.growth_interval")});
}

std::unique_ptr<Optimizer> make_optimizer(const Recipe& recipe) {
  return faultline::make_optimizer({recipe.text("optimizer.name"), recipe.real("optimizer.momentum"),
                                    recipe.flag("optimizer.nesterov"), recipe.real("optimizer.weight_decay"),
                                    recipe.real("optimizer.beta1"), recipe.real("optimizer.beta2"),
                                    recipe.real("optimizer.eps")});
}

std::unique_ptr<Schedule> make_schedule(const Recipe& recipe, int64_t total_steps) {
  ScheduleConfig c;
  c.name = recipe.text("schedule.name");
  c.lr = recipe.real("schedule.lr");
  c.total_steps = total_steps;
  c.step_size = recipe.integer("schedule.step_size");
  c.milestones = recipe.integers("schedule.milestones");
  c.gamma = recipe.real("schedule.gamma");
  c.power = recipe.real("schedule.power");
  c.min_lr = recipe.real("schedule.min_lr");
  c.pct_start = recipe.real("schedule.pct_start");
  c.div_factor = recipe.real("schedule.div_factor");
  c.final_div_factor = recipe.real("schedule.final_div_factor");
  c.warmup_steps = recipe.integer("schedule.warmup_steps");
  c.warmup_start = recipe.real("schedule.warmup_start");
  return faultline::make_schedule(c);
}

Detail detail(const Recipe& recipe) {
  const std::string& text = recipe.text("ledger.detail");
  return text == "ops" ? Detail::kOps : text == "state" ? Detail::kState : Detail::kOff;
}

EntryName leaf_name(const std::string& name) { return "leaf/" + name; }

// A leaf of a few numbers: most steps start from the same ones as the step before.
struct NumbersLeaf {
  explicit NumbersLeaf(const std::string& named) : name(named), entry{leaf_name(named), {}} {}

  void set(double number) { set(std::span(&number, 1), 0); }
  void set(std::span<const double> numbers) { set(numbers, 1); }

  std::string name;
  std::vector<double> kept;
  Tensor tensor;
  Entry entry;

 private:
  void set(std::span<const double> numbers, int rank) {
    const auto bits = [](double number) { return std::bit_cast<uint64_t>(number); };
    if (tensor.defined() && std::ranges::equal(numbers, kept, {}, bits, bits)) return;
    kept.assign(numbers.begin(), numbers.end());
    tensor = Tensor::from(Shape(rank, kept.size()), Dtype::kF64, kept);
    entry.digest = digest(tensor);
  }
};

float planted_value(const std::string& text) {
  const std::optional<float> value = parse_number<float>(text);
  if (value && std::isfinite(*value)) return *value;
  throw Error(ErrorCode::kArgument, "plant.value", "'" + text + "' is not a finite number of f32");
}

// Hands every event to several observers in turn.
class FanOut : public Observer {
 public:
  void add(Observer* observer) { observers_.push_back(observer); }
  bool empty() const { return observers_.empty(); }
  // One at most looks at pieces.
  ResultPieces* on_result(const Tensor& result) override {
    for (Observer* observer : observers_) {
      if (ResultPieces* const pieces = observer->on_result(result)) return pieces;
    }
    return nullptr;
  }
  void on_op(const OpEvent& event) override {
    for (Observer* observer : observers_) observer->on_op(event);
  }

 private:
  std::vector<Observer*> observers_;
};

// Lists the formats and the arithmetic of each op of one step.
class Resolver : public Observer {
 public:
  void on_op(const OpEvent& event) override {
    if (event.grad_call) return;
    Json row = {{"name", event.name},
                {"op", event.op.name},
                {"class", faultline::name(event.op.numeric_class)},
                {"output", faultline::name(event.outputs[0].dtype())}};
    for (const Tensor& input : event.call.inputs) {
      if (input.defined()) row["inputs"].push_back(faultline::name(input.dtype()));
    }
    if (event.op.numeric_class == NumericClass::kProduct) {
      const Arithmetic& a = event.call.arithmetic;
      row["unit"] = a.unit;
      row["accumulate"] = faultline::name(a.accumulate);
      if (a.tf32) row["operands"] = std::string("tf32 ") + faultline::name(a.tf32_rounding);
      row["k_plan"] = adds_by_leaves(a) ? "leaf" : "chain";
      if (a.split_k > 1) row["split_k"] = a.split_k;
    }
    rows.push_back(row);
  }

  Json rows = Json::array();
};

// Sets what surrounds the ops of this thread until the end of the block.
class Surround {
 public:
  Surround(PrecisionHook* precision, Observer* observer, int64_t step, uint64_t seed, bool training)
      : previous_(execution()) {
    execution() = {precision, observer, "", step, seed, training};
    begin_step(step);
  }
  ~Surround() { execution() = previous_; }

 private:
  Execution previous_;
};

Variable loss_of(models::Model& model, const models::Batch& batch, Variable* logits = nullptr) {
  const Variable output = model.forward(Variable(batch.x, false, "x"));
  if (logits) *logits = output;
  const Scope scope("loss");
  return cross_entropy(output, Variable(batch.labels, false, "labels"));
}

int64_t correct_predictions(const Tensor& logits, const Tensor& labels) {
  const int64_t examples = logits.dim(0), classes = logits.dim(1);
  int64_t correct = 0;
  for (int64_t i = 0; i < examples; ++i) {
    int64_t best = 0;
    for (int64_t c = 1; c < classes; ++c) {
      if (logits.at(i * classes + c) > logits.at(i * classes + best)) best = c;
    }
    correct += best == labels.data<int32_t>()[i];
  }
  return correct;
}

}  // namespace

Digest step_digest(const StepRecord& r) {
  std::vector<Digest> parts;
  parts.reserve(2 * r.entries.size() + 2);
  for (const Entry& entry : r.entries) {
    parts.push_back(entry.name.digest());
    parts.push_back(entry.digest);
  }
  const std::string verdict = fmt::format(
      FMT_COMPILE("{} {} {} {} {} {} {} {}"), r.step, std::bit_cast<uint64_t>(r.lr), r.advances,
      std::bit_cast<uint64_t>(r.scale), r.overflow, r.first_nonfinite, r.nonfinite_element, r.skipped);
  parts.push_back(digest_text(verdict));
  parts.push_back(digest(Tensor::full({}, Dtype::kF32, r.loss)));
  return digest_chain(parts.data(), parts.size());
}

Digest chain_root(const Digest& previous, const Digest& step) {
  const Digest pair[] = {previous, step};
  return digest_chain(pair, 2);
}

struct Trainer::Parts {
  explicit Parts(const Recipe& r)
      : recipe(r),
        data(load(r)),
        model(make_model(r)),
        parameters(model->parameters()),
        autocast(policy(r)),
        sampler({data->train.size(), r.integer("data.batch"), r.flag("data.drop_last"), seed()}),
        steps(r.real("train.epochs") > 0
                  ? std::llround(r.real("train.epochs") * static_cast<double>(sampler.batches_per_epoch()))
                  : r.integer("train.steps")),
        optimizer(make_optimizer(r)),
        schedule(make_schedule(r, steps)),
        scaler(make_scaler(r)),
        scale(scaler->initial()) {
    if (recipe.integer("plant.step") < 0) return;
    planted();  // refuses a wrong place or value now, not in the middle
    if (!recipe.text("plant.value").empty()) planted_value(recipe.text("plant.value"));
  }

  uint64_t seed() const { return static_cast<uint64_t>(recipe.integer("train.seed")); }

  // The parameter that the recipe plants a change in.
  Variable planted() const {
    std::vector<std::string> known;
    for (const Variable& parameter : parameters) {
      known.push_back(parameter.name());
      if (parameter.name() != recipe.text("plant.parameter")) continue;
      if (recipe.integer("plant.element") < parameter.value().size()) return parameter;
      throw Error(ErrorCode::kArgument, "plant.element",
                  fmt::format("{} is not in {} {}", recipe.integer("plant.element"), parameter.name(),
                              parameter.value().describe()));
    }
    throw Error(
        ErrorCode::kArgument, "plant.parameter",
        fmt::format("unknown parameter '{}' (known: {})", recipe.text("plant.parameter"), join(known, ", ")));
  }

  void plant() {
    Variable parameter = planted();
    Tensor value = parameter.value().clone();
    float& element = value.mutable_data<float>()[recipe.integer("plant.element")];
    if (!recipe.text("plant.value").empty()) element = planted_value(recipe.text("plant.value"));
    for (int64_t i = 0; i < recipe.integer("plant.ulps"); ++i) element = one_ulp(element);
    parameter.set_value(value);
    state_digests.clear();
  }

  // Calls visit(name, value) for parameters, buffers and optimizer state, in order.
  template <class Visit>
  void visit_state(const Visit& visit) const {
    for (const Variable& parameter : parameters) visit(parameter.name(), parameter.value());
    for (const Variable& buffer : model->buffers()) visit(buffer.name(), buffer.value());
    for (const auto& [name, value] : optimizer->state()) visit(name, value);
  }

  // Digests the state that the next step starts from, while what the update wrote is still in the caches.
  void digest_state() {
    state.clear();
    visit_state([&](const std::string&, const Tensor& value) { state.push_back(&value); });
    digests.digest(state, state_digests);
    if (state_leaves.size() == state.size()) return;
    state_leaves.clear();
    visit_state([&](const std::string& name, const Tensor&) {
      state_leaves.push_back({leaf_name(name), {}});
    });
  }

  // Digests what the coming step starts from into the record, and shows it to the witness.
  void take_leaves(const models::Batch& batch, bool digested, StepRecord& record) {
    // A stream keeps its count: they change where there is another stream.
    if (draws.kept.size() != sampler.draws().size()) {
      std::vector<double> counts;
      for (const auto& [stream, count] : sampler.draws()) counts.push_back(static_cast<double>(count));
      draws.set(counts);
    }
    scale_used.set(record.scale);
    lr.set(record.lr);
    const NumbersLeaf* const numbers[] = {&draws, &scale_used, &lr};
    if (digested) {
      if (state_digests.empty()) digest_state();
      digests.begin_step(state_leaves, state_digests);
      digests.add_leaves(batch_names, std::array{&batch.x, &batch.labels});
      for (const NumbersLeaf* leaf : numbers) digests.add_leaf(leaf->entry);
    }
    if (!witness) return;
    visit_state([&](const std::string& name, const Tensor& value) { witness->on_leaf(name, value); });
    witness->on_leaf("batch/x", batch.x);
    witness->on_leaf("batch/labels", batch.labels);
    for (const NumbersLeaf* leaf : numbers) witness->on_leaf(leaf->name, leaf->tensor);
  }

  // Scaled backward pass, verdict, then the update or the skip.
  void train(const models::Batch& batch, StepRecord& record) {
    autocast.begin_step();
    const Variable loss = loss_of(*model, batch);
    record.loss = loss.value().data<float>()[0];
    amp::scale_loss(loss, scale.scale).backward();
    const amp::Verdict verdict = amp::scan(parameters);
    record.overflow = verdict.overflow;
    record.first_nonfinite = verdict.parameter;
    record.nonfinite_element = verdict.element;
    record.skipped = verdict.overflow && scaler->skips_on_overflow();
    if (!record.skipped) {
      amp::unscale(parameters, scale.scale);
      optimizer->step(parameters, record.lr);
    }
  }

  void advance(StepRecord& record) {
    const bool holds = record.skipped && recipe.text("amp.on_skip") == "hold";
    if (!holds) ++advances;
    scale = scaler->next(scale, record.overflow);
    if (!record.overflow) return;
    const std::string cause = fmt::format("the gradient of {} is not finite at element {}",
                                          record.first_nonfinite, record.nonfinite_element);
    record.decision = record.skipped
                          ? fmt::format("{}: step skipped, the learning-rate schedule {} (amp.on_skip)",
                                        cause, holds ? "holds" : "advances")
                          : cause + ": the update was made all the same, this scaler does not skip";
  }

  Recipe recipe;
  std::shared_ptr<const Datasets> data;
  std::unique_ptr<models::Model> model;
  std::vector<Variable> parameters;
  amp::Autocast autocast;
  models::Sampler sampler;
  int64_t steps;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<amp::LossScaler> scaler;
  amp::ScalerState scale;
  int64_t next = 0, advances = 0;
  DigestObserver digests;
  // Of the state as it is between two steps, as visit_state has it. Digests may be missing.
  std::vector<const Tensor*> state;
  std::vector<Entry> state_leaves;
  DigestObserver::Promises state_digests;
  const EntryName batch_names[2] = {leaf_name("batch/x"), leaf_name("batch/labels")};
  NumbersLeaf draws{"draws"}, scale_used{"scale"}, lr{"lr"};
  Witness* witness = nullptr;
};

Trainer::Trainer(const Recipe& recipe) : parts_(std::make_unique<Parts>(recipe)) {}
Trainer::~Trainer() = default;

int64_t Trainer::steps() const { return parts_->steps; }
int64_t Trainer::next_step() const { return parts_->next; }
size_t Trainer::parameter_count() const { return parts_->parameters.size(); }
void Trainer::set_witness(Witness* witness) { parts_->witness = witness; }
std::vector<std::pair<std::string, Tensor>> Trainer::state() const {
  std::vector<std::pair<std::string, Tensor>> leaves;
  parts_->visit_state(
      [&](const std::string& name, const Tensor& value) { leaves.emplace_back(name, value); });
  return leaves;
}
std::map<std::string, uint64_t> Trainer::draws() const { return parts_->sampler.draws(); }

StepRecord Trainer::step() {
  Parts& p = *parts_;
  const auto start = std::chrono::steady_clock::now();
  StepRecord record;
  record.step = p.next;
  record.advances = p.advances;
  record.lr = p.schedule->rate(p.advances);
  record.scale = p.scale.scale;
  if (p.recipe.integer("plant.step") == record.step) p.plant();
  const models::Batch batch = p.data->train.batch(p.sampler.batch(record.step));

  const Detail detail = harness::detail(p.recipe);
  FanOut observers;
  if (detail != Detail::kOff || p.witness) p.take_leaves(batch, detail != Detail::kOff, record);
  amp::UnderflowObserver underflow;
  if (detail == Detail::kOps) observers.add(&p.digests);
  if (p.witness) observers.add(p.witness);
  const int64_t every = p.recipe.integer("ledger.underflow_every");
  const bool measured = every > 0 && record.step % every == 0;
  if (measured) observers.add(&underflow);
  {
    const Surround surround(&p.autocast, observers.empty() ? nullptr : &observers, record.step, p.seed(),
                            true);
    p.train(batch, record);
    if (detail != Detail::kOff) p.digest_state();
  }
  record.underflow = underflow.counts();
  p.advance(record);
  record.entries = p.digests.take_entries();
  ++p.next;
  record.time_us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count();
  return record;
}

Trainer::Evaluation Trainer::evaluate() {
  Parts& p = *parts_;
  const Surround surround(&p.autocast, nullptr, p.next, p.seed(), false);
  Evaluation total;
  double loss_sum = 0;
  int64_t correct = 0;
  const models::Dataset& test = p.data->test;
  for (int64_t begin = 0; begin < test.size(); begin += kEvaluationBatch) {
    std::vector<int32_t> indices;
    for (int64_t i = begin; i < std::min(test.size(), begin + kEvaluationBatch); ++i) {
      indices.push_back(static_cast<int32_t>(i));
    }
    p.autocast.begin_step();
    const models::Batch batch = test.batch(indices);
    Variable logits;
    const Variable loss = loss_of(*p.model, batch, &logits);
    loss_sum += loss.value().at(0) * static_cast<double>(indices.size());
    correct += correct_predictions(logits.value(), batch.labels);
  }
  p.autocast.begin_step();
  total.examples = test.size();
  total.loss = loss_sum / static_cast<double>(test.size());
  total.accuracy = static_cast<double>(correct) / static_cast<double>(test.size());
  return total;
}

Json Trainer::resolved() const {
  // A model of its own makes one small step, so that this trainer's state stays as it is.
  const Parts& p = *parts_;
  const auto model = make_model(p.recipe);
  amp::Autocast autocast(p.autocast.policy());
  Resolver resolver;
  {
    const Surround surround(&autocast, &resolver, 0, p.seed(), true);
    loss_of(*model, p.data->train.batch({0, 1})).backward();
  }
  Json parameters = Json::object();
  for (const Variable& parameter : p.parameters) parameters[parameter.name()] = parameter.value().shape();
  return {
      {"ops", resolver.rows}, {"parameters", parameters}, {"data", data_sums(p.recipe)}, {"steps", p.steps}};
}

Json data_sums(const Recipe& recipe) {
  const auto data = load(recipe);
  Json sums = Json::object();
  for (const auto* set : {&data->train, &data->test}) sums.update(Json(set->sha256));
  return sums;
}

std::vector<std::pair<std::string, int64_t>> parameter_sizes(const Recipe& recipe) {
  const auto model = make_model(recipe);
  std::vector<std::pair<std::string, int64_t>> sizes;
  for (const Variable& parameter : model->parameters()) {
    sizes.emplace_back(parameter.name(), parameter.value().size());
  }
  return sizes;
}

void apply_runtime(const Recipe& recipe) {
  set_float_environment();
  set_threads(static_cast<int>(recipe.integer("runtime.threads")));
  const std::string& set = recipe.text("runtime.instruction_set");
  set_instruction_set(set == "best" ? "" : set);
  set_heap_fill(static_cast<int>(recipe.integer("runtime.heap_fill")));
}

}  // namespace faultline::harness
