#pragma once

#include <iosfwd>
#include <string>

namespace faultline::harness {

// Shows how far a sweep is: a bar with the time left on a terminal, else a line for each thing that ends.
class Progress {
 public:
  enum Kind { kRun, kComparison };
  static constexpr int kKinds = 2;

  // `jobs` things go on at once.
  Progress(std::ostream& stream, bool terminal, int jobs)
      : stream_(stream), terminal_(terminal), jobs_(jobs) {}
  ~Progress();  // Clears the bar.

  void expect(Kind kind, int count);
  void ended(Kind kind, const std::string& line, double seconds);
  void show();  // Draws the bar anew.

  // From the mean of what has ended; negative as long as nothing has.
  double seconds_left() const;

 private:
  struct Count {
    int expected = 0, ended = 0;
    double seconds = 0;
  };
  std::ostream& stream_;
  bool terminal_;
  int jobs_;
  Count counts_[kKinds];
  std::string last_;
};

// "1:05" or "2:00:01".
std::string clock_text(double seconds);

}  // namespace faultline::harness
