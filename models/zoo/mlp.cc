#include "engine/base/registry.h"
#include "models/layers/functional.h"
#include "models/layers/linear.h"
#include "models/zoo/model.h"

namespace faultline::models {
namespace {

// pixels - hidden - classes, with relu between.
class Mlp : public Model {
 public:
  Mlp(const ModelSettings& settings, uint64_t seed)
      : Model(seed),
        fc1_(parameters_, "fc1", settings.at("pixels"), settings.at("hidden")),
        fc2_(parameters_, "fc2", settings.at("hidden"), settings.at("classes")) {}

  Variable forward(const Variable& x) override {
    const Variable hidden = named_relu("relu1", fc1_(named_flatten("flatten", x)));
    return fc2_(hidden);
  }

 private:
  Linear fc1_, fc2_;
};

const Registered<ModelKind> kMlp{
    "mlp",
    {{{"pixels", 28 * 28}, {"hidden", 128}, {"classes", 10}},
     [](const ModelSettings& settings, uint64_t seed) { return std::make_unique<Mlp>(settings, seed); }}};

}  // namespace
}  // namespace faultline::models
