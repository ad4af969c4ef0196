#pragma once

#include <functional>
#include <map>
#include <utility>

namespace faultline::bench {

// Waits for moments in which nothing else keeps our cores busy. A virtual processor is often one of two threads of a
// core; while a neighbour uses the other one, multiply-adds alone keep their rate, and code that loads as well falls to
// two thirds, some contenders further than others.
class Quiet {
 public:
  // `look` returns the seconds that some work takes on the slowest of the threads.
  explicit Quiet(double patience_s, std::function<double(int threads)> look = small_products)
      : patience_s_(patience_s), look_(std::move(look)) {}

  // Returns when the work is done about as fast as it ever was, at the latest when all waits together have taken the
  // patience.
  void wait(int threads);

  double waited_s() const { return waited_s_; }
  int in_vain() const { return in_vain_; }  // waits that ended with the patience

 private:
  static double small_products(int threads);

  double patience_s_, waited_s_ = 0;
  std::function<double(int)> look_;
  int in_vain_ = 0;
  std::map<int, double> fastest_s_;  // by number of threads
};

}  // namespace faultline::bench
