#include "engine/base/registry.h"
#include "models/layers/conv2d.h"
#include "models/layers/functional.h"
#include "models/layers/linear.h"
#include "models/zoo/model.h"

namespace faultline::models {
namespace {

// LeNet-5 with relu and max pooling, for images of 28 x 28.
// Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition".
class LeNet : public Model {
 public:
  LeNet(const ModelSettings& settings, uint64_t seed)
      : Model(seed),
        conv1_(parameters_, "conv1", {.in_channels = 1, .out_channels = 6, .kernel = 5, .padding = 2}),
        conv2_(parameters_, "conv2", {.in_channels = 6, .out_channels = 16, .kernel = 5}),
        fc1_(parameters_, "fc1", 16 * 5 * 5, 120),
        fc2_(parameters_, "fc2", 120, 84),
        fc3_(parameters_, "fc3", 84, settings.at("classes")) {}

  Variable forward(const Variable& x) override {
    Variable y = named_max_pool("pool1", named_relu("relu1", conv1_(x)), 2);  // [N, 6, 14, 14]
    y = named_max_pool("pool2", named_relu("relu2", conv2_(y)), 2);           // [N, 16, 5, 5]
    y = named_relu("relu3", fc1_(named_flatten("flatten", y)));
    y = named_relu("relu4", fc2_(y));
    return fc3_(y);
  }

 private:
  Conv2d conv1_, conv2_;
  Linear fc1_, fc2_, fc3_;
};

const Registered<ModelKind> kLeNet{"lenet",
                                   {{{"classes", 10}}, [](const ModelSettings& settings, uint64_t seed) {
                                      return std::make_unique<LeNet>(settings, seed);
                                    }}};

}  // namespace
}  // namespace faultline::models
