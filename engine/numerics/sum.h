#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace faultline {

// Returns the ordered sum of numerics.md 2.2 of element(0) .. element(n - 1), in T (float or double): element
// i goes to lane i mod 64, lanes start at +0 and add in rising i, then the tree (j, j+32), (j, j+16) ...
// (j, j+1).
// Error:       |got - exact| <= gamma(ceil(n / 64) + 6) * sum |element|.
// Bitwise:     the definition that every kernel equals.
template <class T, class Element>
T lane_sum(int64_t n, Element&& element) {
  constexpr int kLanes = 64;
  std::array<T, kLanes> lanes{};
  for (int64_t i = 0; i < n; ++i) lanes[static_cast<size_t>(i % kLanes)] += element(i);
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

// Joins leaves by the fixed tree of numerics.md 2.3: neighbours pairwise, left + right, an odd one passes up,
// until one is left. Without leaves returns T{}. T needs +=: numbers, or whole tensors.
template <class T>
T tree_join(std::vector<T> leaves) {
  if (leaves.empty()) return T{};
  while (leaves.size() > 1) {
    const size_t pairs = leaves.size() / 2;
    for (size_t i = 0; i < pairs; ++i) {
      leaves[2 * i] += leaves[2 * i + 1];
      if (i > 0) leaves[i] = std::move(leaves[2 * i]);
    }
    if (leaves.size() % 2) leaves[pairs] = std::move(leaves.back());
    leaves.resize(pairs + leaves.size() % 2);
  }
  return std::move(leaves.front());
}

// A leaf is this many consecutive samples of the global batch.
constexpr int64_t kLeafSamples = 8;

// Returns the sum over `samples` samples by the leaf rule: each leaf is lane_sum of its elements,
// `per_sample` of them a sample, sample rising, then element; then tree_join.
template <class T, class Element>
T leaf_sum(int64_t samples, int64_t per_sample, Element&& element) {
  std::vector<T> leaves;
  for (int64_t first = 0; first < samples; first += kLeafSamples) {
    const int64_t count = std::min(kLeafSamples, samples - first) * per_sample;
    leaves.push_back(lane_sum<T>(count, [&](int64_t i) { return element(first * per_sample + i); }));
  }
  return tree_join(std::move(leaves));
}

}  // namespace faultline
