#include "harness/recipe.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>

#include "amp/scaler.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/registry.h"
#include "engine/base/text.h"
#include "engine/mma/unit.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "models/data/dataset.h"
#include "models/zoo/model.h"

namespace faultline::harness {
namespace {

constexpr double kHuge = 1e15;

template <class T>
std::vector<std::string> registered() {
  return Registry<T>::instance().names();
}

using Names = std::vector<std::string>;
Names compute_formats() { return {"f32", "tf32", "bf16", "f16"}; }
Names accumulators() { return {"f32", "f16"}; }
Names tf32_roundings() { return {"rna", "rne", "truncate"}; }
Names split_reductions() { return {"compute", "output"}; }
Names k_plans() { return {"unit", "chain", "leaf"}; }
Names orders() { return {"ordered", "shuffled"}; }
Names on_skip() { return {"hold", "advance"}; }
Names details() { return {"off", "state", "ops"}; }
Names instruction_set_names() {
  Names names = instruction_sets();
  names.insert(names.begin(), "best");
  return names;
}

std::string type_name(const Json& value) {
  if (value.is_boolean()) return "true or false";
  if (value.is_number_integer()) return "a whole number";
  if (value.is_number()) return "a number";
  if (value.is_array()) return "a list of whole numbers";
  return "text";
}

const Setting& find_setting(const std::string& path, const std::string& source) {
  Names known;
  for (const Setting& setting : settings()) {
    if (setting.path == path) return setting;
    known.push_back(setting.path);
  }
  const std::string guess = nearest(path, known);
  throw Error(ErrorCode::kArgument, source,
              fmt::format("unknown setting '{}'{}", path,
                          guess.empty() ? ", see README for the list" : ", did you mean '" + guess + "'?"));
}

// Returns the value in the setting's own type, or a null value if it does not fit that type.
Json converted(const Setting& setting, const Json& value) {
  const Json& like = setting.fallback;
  if (like.is_number_float() && value.is_number()) return value.get<double>();
  if (like.is_number_integer() && value.is_number_integer()) return value.get<int64_t>();
  const bool same = (like.is_boolean() && value.is_boolean()) || (like.is_string() && value.is_string());
  if (same) return value;
  const bool integers = value.is_array() && std::all_of(value.begin(), value.end(),
                                                        [](const Json& v) { return v.is_number_integer(); });
  return like.is_array() && integers ? value : Json();
}

void check_range(const Setting& setting, const Json& value, const std::string& source) {
  if (value.is_number() && setting.minimum < setting.maximum) {
    const double number = value.get<double>();
    if (!(number >= setting.minimum && number <= setting.maximum)) {
      throw Error(ErrorCode::kArgument, source,
                  fmt::format("{} = {} is out of range, it must be from {} to {}", setting.path, value.dump(),
                              setting.minimum, setting.maximum));
    }
  }
  if (setting.choices) {
    const Names known = setting.choices();
    const std::string text = value.get<std::string>();
    if (std::find(known.begin(), known.end(), text) == known.end()) {
      const std::string guess = nearest(text, known);
      throw Error(ErrorCode::kArgument, source,
                  fmt::format("{} = '{}' is unknown{} (known: {})", setting.path, text,
                              guess.empty() ? "" : ", did you mean '" + guess + "'?", join(known, ", ")));
    }
  }
}

// A YAML scalar as the type that the setting asks for; text that does not parse stays text and fails the type
// check.
Json parse_scalar(const Setting& setting, const std::string& text) {
  if (setting.fallback.is_string()) return text;
  if (setting.fallback.is_boolean())
    return text == "true" ? Json(true) : text == "false" ? Json(false) : Json(text);
  if (setting.fallback.is_array()) {
    Json list = Json::parse(text.empty() || text[0] == '[' ? text : "[" + text + "]", nullptr, false);
    return list.is_discarded() ? Json(text) : list;
  }
  const Json number = Json::parse(text, nullptr, false);
  return number.is_number() ? number : Json(text);
}

void read_node(const YAML::Node& node, const std::string& path, const std::string& source, Recipe& recipe) {
  if (node.IsMap()) {
    for (const auto& item : node) {
      const std::string key = item.first.as<std::string>();
      read_node(item.second, path.empty() ? key : path + "." + key, source, recipe);
    }
    return;
  }
  const std::string where = fmt::format("{}:{}", source, node.Mark().line + 1);
  const Setting& setting = find_setting(path, where);
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const YAML::Node& item : node) list.push_back(Json::parse(item.as<std::string>(), nullptr, false));
    recipe.set_value(path, list, where);
  } else {
    recipe.set_value(path, parse_scalar(setting, node.IsNull() ? "" : node.as<std::string>()), where);
  }
}

}  // namespace

const std::vector<Setting>& settings() {
  static const std::vector<Setting> kSettings = {
      {"name", "f32", "name of the recipe, as the matrix shows it"},
      {"model.name", "lenet", "model of the zoo", 0, 0, registered<models::ModelKind>},
      {"model.hidden", 128, "mlp: width of the hidden layer", 1, 65536},
      {"data.name", "fashion_mnist", "data set", 0, 0, registered<models::DatasetKind>},
      {"data.path", "", "folder of the data files; empty: where Debian's package puts them"},
      {"data.train_examples", 0, "training examples used, from the first on; 0: all", 0, kHuge},
      {"data.test_examples", 0, "test examples used, from the first on; 0: all", 0, kHuge},
      {"data.image_size", 28, "synthetic: rows and columns of an image", 1, 1024},
      {"data.drop_last", true, "drop the last batch of an epoch if it is short"},
      {"data.batch", 64, "examples a step", 1, 65536},
      {"train.steps", 200, "steps of training, skipped ones counted", 1, kHuge},
      {"train.epochs", 0.0, "training length in epochs instead of steps; 0: train.steps decides", 0, 1e6},
      {"train.seed", 1, "seed of initial weights, shuffling and dropout", 0, kHuge},
      {"precision.compute", "f32", "format in which products run", 0, 0, compute_formats},
      {"precision.unit", "fma", "matrix unit that products run on", 0, 0, registered<Unit>},
      {"precision.accumulate", "f32", "accumulator of products", 0, 0, accumulators},
      {"precision.tf32_rounding", "rna",
       "how f32 operands become tf32 (cuBLAS 13 and cuDNN 9.19 on an H200: rne)", 0, 0, tf32_roundings},
      {"precision.k_plan", "unit",
       "how sums over samples are cut: chain (not at all), leaf (8 samples), or as the unit does (fma: leaf)",
       0, 0, k_plans},
      {"precision.split_k", 1, "parts into which k of every product is cut", 1, 1024},
      {"precision.split_reduce", "compute", "format in which the parts are added", 0, 0, split_reductions},
      {"reduction.order", "ordered", "order of the partial sums of gradients", 0, 0, orders},
      {"reduction.seed", 0, "seed of the shuffled order", 0, kHuge},
      {"amp.scaler", "none", "loss scaler", 0, 0, registered<amp::ScalerKind>},
      {"amp.static_scale", 128.0, "scale of the static scaler", 1e-30, 1e38},
      {"amp.init_scale", 65536.0, "dynamic: first scale", 1e-30, 1e38},
      {"amp.growth_factor", 2.0, "dynamic: factor after growth_interval clean steps", 1, 1e6},
      {"amp.backoff_factor", 0.5, "dynamic: factor after an overflow", 1e-6, 1},
      {"amp.growth_interval", 2000, "dynamic: clean steps before the scale grows", 1, kHuge},
      {"amp.on_skip", "hold", "whether the learning-rate schedule holds or advances on a skipped step", 0, 0,
       on_skip},
      {"optimizer.name", "sgd", "optimizer", 0, 0, registered<OptimizerKind>},
      {"optimizer.momentum", 0.9, "sgd: momentum", 0, 1},
      {"optimizer.nesterov", false, "sgd: Nesterov momentum"},
      {"optimizer.weight_decay", 0.0, "weight decay", 0, 10},
      {"optimizer.beta1", 0.9, "adam: decay of the first moment", 0, 1},
      {"optimizer.beta2", 0.999, "adam: decay of the second moment", 0, 1},
      {"optimizer.eps", 1e-8, "adam: added to the denominator", 0, 1},
      {"schedule.name", "constant", "learning-rate schedule", 0, 0, registered<ScheduleKind>},
      {"schedule.lr", 0.05, "learning rate: initial, or largest for one_cycle", 0, 1e6},
      {"schedule.warmup_steps", 0, "steps of linear warm-up in front of the schedule", 0, kHuge},
      {"schedule.warmup_start", 1.0 / 3, "share of the rate at the first warm-up step", 0, 1},
      {"schedule.step_size", 100, "step: steps between two decays", 1, kHuge},
      {"schedule.milestones", Json::array({100, 150}), "multistep: steps at which the rate decays"},
      {"schedule.gamma", 0.1, "step, multistep, exponential: factor of one decay", 0, 10},
      {"schedule.power", 1.0, "polynomial: power", 0, 100},
      {"schedule.min_lr", 0.0, "cosine: last rate", 0, 1e6},
      {"schedule.div_factor", 25.0, "one_cycle: largest rate over the first one", 1e-6, 1e12},
      {"schedule.final_div_factor", 1e4, "one_cycle: first rate over the last one", 1e-6, 1e12},
      {"schedule.pct_start", 0.3, "one_cycle: share of the steps in which the rate rises", 0, 1},
      {"ledger.detail", "state", "what is digested at each step", 0, 0, details},
      {"ledger.underflow_every", 20, "steps between two measurements of gradient underflow; 0: never", 0,
       kHuge},
      {"ledger.snapshots", 12, "parameter snapshots kept for the growth of a difference", 0, 1000},
      {"runtime.threads", 1, "threads of the kernels", 1, 256},
      {"runtime.instruction_set", "best", "instruction set of the kernels", 0, 0, instruction_set_names},
      {"runtime.heap_fill", -1, "byte that fills fresh tensors; -1: none", -1, 255},
      {"plant.step", -1, "step before which one element of a parameter is changed; -1: none", -1, kHuge},
      {"plant.parameter", "", "parameter to change"},
      {"plant.element", 0, "row-major index of the element", 0, kHuge},
      {"plant.value", Json(""), "value that the element gets first; empty: it keeps its own"},
      {"plant.ulps", 1, "units in the last place that the element is then moved", 0, 1024},
  };
  return kSettings;
}

Recipe::Recipe() : values_(Json::object()) {
  for (const Setting& setting : settings()) values_[setting.path] = setting.fallback;
}

Recipe Recipe::from_yaml(const std::string& text, const std::string& source) {
  Recipe recipe;
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& e) {
    throw Error(ErrorCode::kData, fmt::format("{}:{}", source, e.mark.line + 1), "not YAML: " + e.msg);
  }
  if (root.IsNull()) return recipe;
  if (!root.IsMap()) throw Error(ErrorCode::kData, source, "a recipe is a map of settings");
  read_node(root, "", source, recipe);
  return recipe;
}

Recipe Recipe::from_file(const std::string& path) { return from_yaml(read_file(path), path); }

Recipe Recipe::from_json(const Json& json, const std::string& source) {
  Recipe recipe;
  for (const auto& [path, value] : json.items()) recipe.set_value(path, value, source);
  return recipe;
}

void Recipe::set(const std::string& path, const std::string& text, const std::string& source) {
  set_value(path, parse_scalar(find_setting(path, source), text), source);
}

void Recipe::set_value(const std::string& path, const Json& value, const std::string& source) {
  const Setting& setting = find_setting(path, source);
  const Json fitting = converted(setting, value);
  if (fitting.is_null()) {
    throw Error(ErrorCode::kArgument, source,
                fmt::format("{} = {} must be {}", path, value.dump(), type_name(setting.fallback)));
  }
  check_range(setting, fitting, source);
  values_[path] = fitting;
}

int64_t Recipe::integer(const std::string& path) const { return values_.at(path).get<int64_t>(); }
double Recipe::real(const std::string& path) const { return values_.at(path).get<double>(); }
bool Recipe::flag(const std::string& path) const { return values_.at(path).get<bool>(); }
const std::string& Recipe::text(const std::string& path) const {
  return values_.at(path).get_ref<const std::string&>();
}
std::vector<int64_t> Recipe::integers(const std::string& path) const {
  return values_.at(path).get<std::vector<int64_t>>();
}

std::string Recipe::yaml() const {
  std::string text, group;
  for (const Setting& setting : settings()) {
    const size_t dot = setting.path.find('.');
    const std::string head = dot == std::string::npos ? "" : setting.path.substr(0, dot);
    if (head != group) text += head + ":\n";
    group = head;
    text += fmt::format("{}{}: {}  # {}\n", head.empty() ? "" : "  ",
                        dot == std::string::npos ? setting.path : setting.path.substr(dot + 1),
                        values_.at(setting.path).dump(), setting.meaning);
  }
  return text;
}

}  // namespace faultline::harness
