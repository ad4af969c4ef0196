#include "harness/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace faultline::harness {

std::string clock_text(double seconds) {
  const auto total = static_cast<int64_t>(std::ceil(seconds));
  if (total < 3600) return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

Progress::~Progress() {
  if (terminal_) stream_ << "\r\x1b[K" << std::flush;
}

void Progress::expect(Kind kind, int count) { counts_[kind].expected += count; }

void Progress::ended(Kind kind, const std::string& line, double seconds) {
  Count& count = counts_[kind];
  ++count.ended;
  count.seconds += seconds;
  last_ = line;
  const int ended = counts_[kRun].ended + counts_[kComparison].ended;
  const int expected = counts_[kRun].expected + counts_[kComparison].expected;
  if (!terminal_) stream_ << fmt::format("[{}/{}] {}\n", ended, expected, line) << std::flush;
}

double Progress::seconds_left() const {
  double seconds = 0;
  const Count& known = counts_[kRun].ended > 0 ? counts_[kRun] : counts_[kComparison];
  for (const Count& count : counts_) {
    const Count& like = count.ended > 0 ? count : known;
    if (like.ended == 0) return -1;
    seconds += (count.expected - count.ended) * like.seconds / like.ended;
  }
  return seconds / jobs_;
}

void Progress::show() {
  if (!terminal_) return;
  constexpr int kWidth = 24;
  const int ended = counts_[kRun].ended + counts_[kComparison].ended;
  const int expected = std::max(1, counts_[kRun].expected + counts_[kComparison].expected);
  const int filled = kWidth * ended / expected;
  const double left = seconds_left();
  const std::string time = left < 0 ? "" : clock_text(left) + " left";
  stream_ << fmt::format("\r\x1b[K[{:#<{}}{:.<{}}] {}/{} {} {:.36}", "", filled, "", kWidth - filled, ended,
                         expected, time, last_)
          << std::flush;
}

}  // namespace faultline::harness
