#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/autograd/execution.h"
#include "engine/tensor/digest.h"

namespace faultline {

// Keeps what the ops of this thread show of their results, until the end of the block.
class ShownPieces : public Observer {
 public:
  ShownPieces() { execution().observer = this; }
  ~ShownPieces() override { execution().observer = nullptr; }

  ResultPieces* on_result(const Tensor& result) override;
  void on_op(const OpEvent&) override {}

  // What is wrong first, or nothing where all pieces are what their results hold now, were shown once, and make the
  // digest that the result has.
  std::optional<std::string> difference() const;

  // How many elements of a result were shown.
  int64_t shown_of(const Tensor& result) const;

 private:
  class Shown;
  std::vector<std::shared_ptr<Shown>> results_;
};

}  // namespace faultline
