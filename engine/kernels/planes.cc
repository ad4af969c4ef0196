#include "engine/kernels/planes.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/base/cpu.h"
#include "engine/base/parallel.h"
#include "engine/kernels/chain_block.h"
#include "engine/kernels/packing.h"
#include "engine/kernels/planned_sum.h"
#include "engine/kernels/rows.h"

namespace faultline {

namespace {

template <class T>
constexpr Dtype kStored = std::is_same_v<T, float> ? Dtype::kF32 : Dtype::kBf16;

// Between rows with wider gaps it is faster to clear the whole plane.
constexpr int64_t kShortGap = 8;

// Vectors may read past the last output: up to those of the widest register block.
int64_t storage_size(const PlaneLayout& layout) {
  constexpr int64_t kWide = 1 << 10;
  return layout.N * layout.sample() + register_block(kWide).columns;
}

bool is_whole(const PlaneLayout& l) {
  return l.origin_h == 0 && l.origin_w == 0 && l.height == l.H && l.width == l.W && l.stride_h == 1 &&
         l.stride_w == 1;
}

// The source coordinates of one axis that `size` ones from an origin on cover, of n.
struct Reach {
  Reach(int64_t origin, int64_t size, int64_t n)
      : begin(std::max<int64_t>(origin, 0)), end(std::max(begin, std::min(n, origin + size))) {}
  int64_t size() const { return end - begin; }
  int64_t begin, end;
};

// The images, if they are what their planes would be.
template <class T>
const T* as_planes(const PlaneSource& source) {
  const bool rounded = source.arithmetic.tf32 && source.images.dtype == Dtype::kF32;
  if (!is_whole(source.layout) || rounded || source.images.dtype != kStored<T>) return nullptr;
  return static_cast<const T*>(source.images.data);
}

}  // namespace

PlaneSource PlaneSource::samples(int64_t first, int64_t count) const {
  PlaneSource part = *this;
  part.layout.N = count;
  const int64_t before = first * layout.C * layout.H * layout.W * size_bytes(images.dtype);
  part.images.data = static_cast<const char*>(images.data) + before;
  return part;
}

void for_few_samples(const char* kernel, const PlaneSource& source, PlaneReads reads,
                     const std::function<void(const Planes&, int64_t)>& body) {
  const int64_t bytes = source.layout.sample() * static_cast<int64_t>(sizeof(float)), N = source.layout.N;
  const int64_t few = std::max<int64_t>(1, l2_cache_bytes() / 4 / bytes), groups = ceil_div(N, few);
  const auto run = [&](int64_t first, int64_t count) {
    body(Planes(source.samples(first, std::min(count, N - first)), reads), first);
  };
  const int64_t together = few * threads();
  if (groups < 2 * threads()) {
    for (int64_t first = 0; first < N; first += together) run(first, together);
    return;
  }
  parallel_for(kernel, groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) run(group * few, few);
  });
}

template <class T>
PlanesOf<T>::PlanesOf(const PlaneSource& source, PlaneReads reads)
    : layout_(source.layout), as_they_lie_(reads == PlaneReads::kElements ? as_planes<T>(source) : nullptr) {
  if (as_they_lie_) return;
  const PlaneLayout& layout = layout_;
  const int64_t planes = layout.N * layout.C, plane = layout.sample() / layout.C;
  copy_.emplace(ceil_div(storage_size(layout) * sizeof(T), sizeof(float)));
  T* const out = reinterpret_cast<T*>(copy_->data());
  std::fill(out + planes * plane, out + storage_size(layout), T{});
  const int64_t source_bytes = layout.H * layout.W * size_bytes(source.images.dtype);
  const int64_t grain = thread_grain(planes, kMoveWork * planes * plane);
  parallel_for("conv2d.planes", planes, grain, [&](int64_t begin, int64_t end) {
    const Scratch line(layout.H * layout.W);
    T* const image = reinterpret_cast<T*>(line.data());
    for (int64_t i = begin; i < end; ++i) {
      copy_plane(static_cast<const char*>(source.images.data) + i * source_bytes, source.images.dtype,
                 source.arithmetic, image, out + i * plane);
    }
  });
}

template <class T>
void PlanesOf<T>::copy_plane(const char* source, Dtype dtype, const Arithmetic& arithmetic, T* image,
                             T* out) const {
  const PlaneLayout& l = layout_;
  const Reach h(l.origin_h, l.height * l.stride_h, l.H), w(l.origin_w, l.width * l.stride_w, l.W);
  const int64_t rows = h.size(), n = w.size(), size = l.sample() / l.C;
  // The type's zero bytes are +0, and gcc makes a loop of std::fill here.
  const auto clear = [out](int64_t begin, int64_t end) {
    std::memset(out + begin, 0, (end - begin) * sizeof(T));
  };
  if (rows == 0 || n == 0) return clear(0, size);
  const int64_t u = h.begin - l.origin_h, v = w.begin - l.origin_w;
  const ConstRows from{source + (h.begin * l.W + w.begin) * size_bytes(dtype), dtype, l.W};
  if (l.stride_h == 1 && l.stride_w == 1) {
    const int64_t first = l.offset(0, u, v), gap = l.width - n;
    if (gap > kShortGap || n < kShortGap) {
      clear(0, size);
    } else {
      clear(0, first);
      // The rows overwrite what is too much.
      const T zeros[kShortGap] = {};
      for (int64_t i = 1; i < rows; ++i) std::memcpy(out + first + i * l.width - gap, zeros, sizeof zeros);
      clear(first + (rows - 1) * l.width + n, size);
    }
    convert_rows(from, {out + first, kStored<T>, l.width}, rows, n);
  } else {
    clear(0, size);
    convert_rows(from, {image, kStored<T>, n}, rows, n);
    for (int64_t i = 0; i < rows * n; ++i) out[l.offset(0, u + i / n, v + i % n)] = image[i];
  }
  if constexpr (std::is_same_v<T, float>) {
    if (arithmetic.tf32 && dtype == Dtype::kF32) round_to_tf32(out, size, arithmetic.tf32_rounding);
  }
}

InterleavedPlanes::InterleavedPlanes(const PlaneSource& source, int64_t group)
    : data_(storage_size(source.layout)) {
  const PlaneLayout& l = source.layout;
  const int64_t channel = l.sample() / l.C, image = l.H * l.W, blocks = l.N / group * l.C;
  const bool whole = is_whole(l);
  const Dtype dtype = source.images.dtype;
  const Reach h(l.origin_h, l.height * l.stride_h, l.H), w(l.origin_w, l.width * l.stride_w, l.W);
  const int64_t run = l.stride_w == 1 ? w.size() : 1;
  const bool as_it_is = is_widened(dtype, source.arithmetic);
  // Of some samples and one channel: widened, turned, and put in their places.
  const auto copy = [&](const char* from, float* out) {
    const Scratch lines(as_it_is ? 0 : group * image), turned(whole ? 0 : group * image);
    if (!as_it_is) widen_rows({from, dtype, l.C * image}, group, image, source.arithmetic, lines.data());
    copy_transposed(as_it_is ? reinterpret_cast<const float*>(from) : lines.data(),
                    as_it_is ? l.C * image : image, image, group, whole ? out : turned.data(), group);
    if (whole) return;
    std::memset(out, 0, channel * group * sizeof(float));
    for (int64_t row = h.begin; row < h.end; ++row) {
      for (int64_t col = w.begin; col < w.end; col += run) {
        std::copy_n(turned.data() + (row * l.W + col) * group, run * group,
                    out + l.offset(0, row - l.origin_h, col - l.origin_w) * group);
      }
    }
  };
  parallel_for(
      "conv2d.planes", blocks, thread_grain(blocks, kMoveWork * l.N * l.sample()),
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t sample = i / l.C * group, c = i % l.C;
          copy(static_cast<const char*>(source.images.data) + (sample * l.C + c) * image * size_bytes(dtype),
               data_.data() + (sample * l.C + c * group) * channel);
        }
      });
  std::fill(data_.data() + l.N * l.sample(), data_.data() + storage_size(l), 0.0f);
}

template class PlanesOf<float>;
template class PlanesOf<Bf16>;

PlaneLayout image_layout(const Conv2dShape& s) {
  const int64_t height = (s.OH() - 1) + (s.KH - 1) / s.stride_h + 1;
  const int64_t width = (s.OW() - 1) + (s.KW - 1) / s.stride_w + 1;
  return {s.N, s.C, s.H, s.W, -s.pad_h, -s.pad_w, s.stride_h, s.stride_w, height, width};
}

std::vector<int64_t> image_taps(const Conv2dShape& s, const PlaneLayout& layout) {
  std::vector<int64_t> taps;
  for (int64_t c = 0; c < s.C; ++c) {
    for (int64_t kh = 0; kh < s.KH; ++kh) {
      for (int64_t kw = 0; kw < s.KW; ++kw) taps.push_back(layout.offset(c, kh, kw));
    }
  }
  return taps;
}

}  // namespace faultline
