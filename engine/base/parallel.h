#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace faultline {

// Number of threads that parallel_for may use (the caller is one of them): one inside of it. Bits do not depend on it.
// Throws kArgument outside 1 .. 256, kInternal inside a body. Not while another thread is in parallel_for.
void set_threads(int threads);
int threads();

// Calls body(begin, end) over a fixed partition of [0, n) into pieces of at least `grain` items, equal but for one item:
// at most threads() ranges of a few pieces each. A thread begins with the pieces of its own range, always the same one,
// and takes over what is left of another's: which thread runs a piece must not matter to the results. A parallel_for
// inside one of several pieces runs on the calling thread alone; callers on different threads take turns. If bodies
// throw, the exception of the lowest piece is rethrown.
// `kernel` is a string literal: the statistics below are kept under it.
void parallel_for(const char* kernel, int64_t n, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body);

// The largest number of threads that one parallel_for of each kernel was shared among since the last reset.
std::map<std::string, int> threads_used();
void reset_threads_used();

}  // namespace faultline
