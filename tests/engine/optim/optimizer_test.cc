#include "engine/optim/optimizer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <random>

#include "engine/autograd/execution.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/parallel.h"
#include "engine/tensor/digest.h"

namespace faultline {
namespace {

constexpr double kRoundoff = 0x1p-24;

Tensor random_tensor(const Shape& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Tensor tensor = Tensor::empty(shape, Dtype::kF32);
  for (int64_t i = 0; i < tensor.size(); ++i) tensor.set(i, normal(generator));
  return tensor;
}

std::vector<Variable> two_parameters() {
  return {Variable(random_tensor({7, 5}, 1), true, "fc1.weight"),
          Variable(random_tensor({7}, 2), true, "fc1.bias")};
}

void set_gradients(std::vector<Variable>& parameters, unsigned seed) {
  for (Variable& parameter : parameters) {
    parameter.set_grad(random_tensor(parameter.value().shape(), seed++ * 100 + 7));
  }
}

std::map<std::string, Tensor> state_map(const Optimizer& optimizer) {
  std::map<std::string, Tensor> map;
  for (const auto& [name, tensor] : optimizer.state()) map[name] = tensor.clone();
  return map;
}

double state_value(const std::map<std::string, Tensor>& state, const std::string& name, int64_t i) {
  const auto it = state.find(name);
  return it == state.end() ? 0.0 : it->second.at(i);
}

std::string message_of(const OptimizerConfig& config) {
  try {
    make_optimizer(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("sgd: a step equals the textbook's formula in f64 within its roundings") {
  for (const OptimizerConfig& config :
       {OptimizerConfig{}, OptimizerConfig{.momentum = 0.9},
        OptimizerConfig{.momentum = 0.9, .nesterov = true},
        OptimizerConfig{.momentum = 0.9, .nesterov = true, .weight_decay = 0.01}}) {
    const auto optimizer = make_optimizer(config);
    std::vector<Variable> parameters = two_parameters();
    for (int t = 0; t < 5; ++t) {
      set_gradients(parameters, t);
      const auto before = state_map(*optimizer);
      const Tensor w = parameters[0].value().clone(), g = parameters[0].grad();
      optimizer->step(parameters, 0.05);
      const auto after = state_map(*optimizer);
      for (int64_t i = 0; i < w.size(); ++i) {
        const double decayed = g.at(i) + config.weight_decay * w.at(i);
        const double old = state_value(before, "fc1.weight/momentum", i);
        const double m = config.momentum * old + decayed;
        const double d = config.nesterov ? decayed + config.momentum * m : m;
        const double size =
            std::fabs(g.at(i)) + std::fabs(config.weight_decay * w.at(i)) + std::fabs(config.momentum * old);
        // Three roundings of m, three more of d, of lr and of the result, settings rounded once each.
        CHECK(std::fabs(parameters[0].value().at(i) - (w.at(i) - 0.05 * d)) <=
              kRoundoff * (std::fabs(w.at(i)) + 0.05 * 2 * size * 8));
        if (config.momentum != 0) {
          CHECK(std::fabs(after.at("fc1.weight/momentum").at(i) - m) <= kRoundoff * 4 * size);
        }
      }
    }
    CHECK(optimizer->state().size() == (config.momentum == 0 ? 0 : 2));
  }
}

TEST_CASE("sgd: dyadic values give exact steps") {
  const auto optimizer = make_optimizer({.momentum = 0.5, .weight_decay = 0.25});
  std::vector<Variable> parameters = {Variable(Tensor::from({2}, Dtype::kF32, {8, -4}), true, "w")};
  const std::vector<std::vector<double>> expected = {{6.5, -3}, {4.4375, -1.625}};
  for (const std::vector<double>& weights : expected) {
    parameters[0].set_grad(Tensor::from({2}, Dtype::kF32, {1, -1}));
    optimizer->step(parameters, 0.5);
    CHECK(parameters[0].value().to_vector() == weights);
  }
}

TEST_CASE("adam and adamw: a step equals the textbook's formula in f64 within its roundings") {
  for (const char* name : {"adam", "adamw"}) {
    for (const double weight_decay : {0.0, 0.02}) {
      const OptimizerConfig config = {.name = name, .weight_decay = weight_decay};
      const bool decoupled = config.name == "adamw";
      const auto optimizer = make_optimizer(config);
      std::vector<Variable> parameters = two_parameters();
      const double lr = 0.01;
      for (int t = 1; t <= 5; ++t) {
        set_gradients(parameters, t);
        const auto before = state_map(*optimizer);
        const Tensor w = parameters[0].value().clone(), gradient = parameters[0].grad();
        optimizer->step(parameters, lr);
        const auto after = state_map(*optimizer);
        for (int64_t i = 0; i < w.size(); ++i) {
          const double decay = weight_decay * w.at(i);
          const double g = gradient.at(i) + (decoupled ? 0 : decay);
          const double m_old = state_value(before, "fc1.weight/m", i);
          const double v_old = state_value(before, "fc1.weight/v", i);
          const double m = 0.9 * m_old + 0.1 * g, v = 0.999 * v_old + 0.001 * g * g;
          const double m_size = std::fabs(0.9 * m_old) + 0.1 * (std::fabs(gradient.at(i)) + std::fabs(decay));
          const double g_error = std::fabs(decay) + std::fabs(g);
          const double root = std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8;
          const double update = lr / (1 - std::pow(0.9, t)) * m / root;
          const double kept = decoupled ? w.at(i) * (1 - lr * weight_decay) : w.at(i);
          CHECK(std::fabs(after.at("fc1.weight/m").at(i) - m) <= kRoundoff * 6 * m_size);
          CHECK(std::fabs(after.at("fc1.weight/v").at(i) - v) <=
                kRoundoff * (8 * v + 0.004 * std::fabs(g) * g_error));
          // m carries 6 roundings of its terms, v's root and the rest of the quotient 16 more.
          const double quotient_error = lr / (1 - std::pow(0.9, t)) *
                                        (6 * m_size + 16 * std::fabs(m) + std::fabs(m) * 4 * g_error) / root;
          CHECK(std::fabs(parameters[0].value().at(i) - (kept - update)) <=
                kRoundoff * (4 * std::fabs(w.at(i)) + quotient_error));
        }
        CHECK(after.at("beta1_power").at(0) == Approx(std::pow(0.9, t)).epsilon(1e-15 * t));
      }
    }
  }
}

TEST_CASE("adam: the first step moves every weight by lr against its gradient's sign") {
  const auto optimizer = make_optimizer({.name = "adam"});
  std::vector<Variable> parameters = {Variable(Tensor::zeros({3}, Dtype::kF32), true, "w")};
  parameters[0].set_grad(Tensor::from({3}, Dtype::kF32, {5, -1e-3, 0}));
  optimizer->step(parameters, 0.25);
  // eps / |g| <= 1e-5 of the rate, and a dozen roundings.
  CHECK(parameters[0].value().at(0) == Approx(-0.25).epsilon(1e-8 / 5 + 12 * kRoundoff));
  CHECK(parameters[0].value().at(1) == Approx(0.25).epsilon(1e-5 + 12 * kRoundoff));
  CHECK(parameters[0].value().at(2) == 0.0);
}

TEST_CASE("optimizers: the kernel equals the scalar definition in every bit and stays within its bound") {
  for (const char* name : {"sgd_update", "adam_update", "scale_gradient"}) {
    const OpDef& op = Registry<OpDef>::instance().find(name);
    double worst = 0;
    for (const Sample& sample : op.samples(Fill::kReals)) {
      OpCall call{sample.inputs, sample.attributes, {}}, call64 = call;
      for (Tensor& input : call64.inputs) input = input.to(Dtype::kF64);
      const Tensors reference = op.forward_reference(call), exact = evaluate_forward(op, call64);
      const Tensor bound = op.error_bound(call);
      int64_t outside = 0;
      for (int64_t i = 0; i < bound.size(); ++i) {
        const double error = std::fabs(reference[0].at(i) - exact[0].at(i));
        outside += !(error <= bound.at(i));
        worst = std::max(worst, error / bound.at(i));
      }
      INFO(name << ", " << sample.name);
      CHECK(outside == 0);
      for (const std::string& set : instruction_sets()) {
        for (const int count : {1, 2, 3, 8}) {
          set_instruction_set(set);
          set_threads(count);
          const Tensors got = evaluate_forward(op, call);
          REQUIRE(got.size() == reference.size());
          for (size_t k = 0; k < got.size(); ++k) CHECK(digest(got[k]) == digest(reference[k]));
        }
      }
    }
    set_instruction_set("");
    CHECK(worst > 0.1);  // the bound says something
    CHECK(threads_used().at(name) >= 2);
    set_threads(1);
  }
}

TEST_CASE("optimizers: one that is given the state of another goes on with the same bits") {
  for (const auto& [name, kind] : Registry<OptimizerKind>::instance().entries()) {
    const OptimizerConfig config = {.name = name, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01};
    auto straight = make_optimizer(config), resumed = make_optimizer(config);
    std::vector<Variable> a = two_parameters(), b = two_parameters();
    for (int t = 0; t < 6; ++t) {
      set_gradients(a, t);
      set_gradients(b, t);
      straight->step(a, 0.1);
      const NamedTensors saved = resumed->state();
      resumed = make_optimizer(config);
      resumed->set_state(saved);
      resumed->step(b, 0.1);
      for (size_t i = 0; i < a.size(); ++i) CHECK(digest(a[i].value()) == digest(b[i].value()));
    }
  }
}

class Names : public Observer {
 public:
  void on_op(const OpEvent& event) override {
    CHECK(event.phase == Phase::kOptimizer);
    names.push_back(event.name);
  }
  std::vector<std::string> names;
};

TEST_CASE("optimizers: the observer sees one update a parameter") {
  Names names;
  execution().observer = &names;
  std::vector<Variable> parameters = two_parameters();
  set_gradients(parameters, 1);
  make_optimizer({})->step(parameters, 0.1);
  execution().observer = nullptr;
  CHECK(names.names == std::vector<std::string>{"fc1.weight/update", "fc1.bias/update"});
}

TEST_CASE("optimizers: a parameter without gradient is refused before anything changes") {
  for (const auto& [name, kind] : Registry<OptimizerKind>::instance().entries()) {
    const auto optimizer = make_optimizer({.name = name, .momentum = 0.9});
    std::vector<Variable> parameters = two_parameters();
    parameters[0].set_grad(random_tensor({7, 5}, 3));
    const Digest before = digest(parameters[0].value());
    CHECK_THROWS_WITH(optimizer->step(parameters, 0.1), Catch::Contains("fc1.bias has no gradient"));
    CHECK(digest(parameters[0].value()) == before);
    CHECK(optimizer->state().empty());
    parameters[1].set_grad(random_tensor({7}, 3).to(Dtype::kF16));
    CHECK_THROWS_WITH(optimizer->step(parameters, 0.1), Catch::Contains("gradient [7] f16"));
  }
}

TEST_CASE("optimizers: settings out of range give one line that names them") {
  CHECK(message_of({.name = "adamv"}).find("did you mean 'adam'?") != std::string::npos);
  CHECK(message_of({.momentum = 1.5}) == "sgd: momentum = 1.5 is out of range, it must be from 0 to 1");
  CHECK(message_of({.momentum = NAN}).find("momentum = nan") != std::string::npos);
  CHECK(message_of({.nesterov = true}) == "sgd: nesterov needs a momentum above 0");
  CHECK(message_of({.name = "adam", .beta1 = 1}).find("beta1 = 1 is out of range") != std::string::npos);
  CHECK(message_of({.name = "adamw", .weight_decay = -1}).find("weight_decay = -1") != std::string::npos);
}

}  // namespace
}  // namespace faultline
