#include "engine/base/registry.h"
#include "engine/optim/schedule.h"

namespace faultline {
namespace {

// rate(t) = lr.
class Constant : public Schedule {
 public:
  explicit Constant(const ScheduleConfig& config) : lr_(config.lr) {}
  double rate(int64_t) const override { return lr_; }

 private:
  double lr_;
};

const Registered<ScheduleKind> kConstant{
    "constant", {[](const ScheduleConfig& config) { return std::make_unique<Constant>(config); }}};

}  // namespace
}  // namespace faultline
