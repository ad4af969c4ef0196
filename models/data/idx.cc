#include "models/data/idx.h"

#include <fmt/format.h>
#include <libdeflate.h>

#include <memory>
#include <new>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/memory.h"

namespace faultline::models {
namespace {

constexpr int kUnsignedByte = 8;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kData, path, why);
}

// Returns what a gzip file of one member holds.
std::vector<uint8_t> gunzip(const std::string& path) {
  constexpr size_t kFrame = 18, kMostRatio = 1032;  // bytes around the data; what deflate can reach
  const std::string file = read_file(path);
  const auto* bytes = reinterpret_cast<const uint8_t*>(file.data());
  const auto broken = [&] { refuse(path, "is not a whole gzip file"); };
  if (file.size() < kFrame) broken();
  const uint8_t* last = bytes + file.size() - 4;  // the size modulo 2^32, little-endian
  const size_t size = last[0] | last[1] << 8 | last[2] << 16 | size_t{last[3]} << 24;
  if (size > kMostRatio * file.size()) broken();
  std::vector<uint8_t> data;
  data.reserve(size);
  prefer_huge_pages(data.data(), size);
  data.resize(size);
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (!decompressor) throw std::bad_alloc();
  const auto result =
      libdeflate_gzip_decompress(decompressor.get(), bytes, file.size(), data.data(), size, nullptr);
  if (result != LIBDEFLATE_SUCCESS) broken();
  return data;
}

}  // namespace

IdxArray read_idx(const std::string& path, int rank) {
  constexpr int64_t kLargest = int64_t{1} << 28;
  std::vector<uint8_t> file = gunzip(path);
  if (file.size() < 4) refuse(path, "ends before the IDX header");
  if (file[0] != 0 || file[1] != 0 || file[2] != kUnsignedByte || file[3] != rank) {
    refuse(path,
           fmt::format("starts with {:02x}{:02x}{:02x}{:02x}, not with 000008{:02x} (IDX, bytes, {} sizes)",
                       file[0], file[1], file[2], file[3], rank, rank));
  }
  const size_t header = 4 + 4 * static_cast<size_t>(rank);
  if (file.size() < header) refuse(path, "ends inside the IDX header");
  IdxArray array;
  for (size_t at = 4; at < header; at += 4) {
    array.shape.push_back(int64_t{file[at]} << 24 | file[at + 1] << 16 | file[at + 2] << 8 | file[at + 3]);
    if (element_count(array.shape) > kLargest) {
      refuse(path, "has sizes " + to_string(array.shape) + ", too large");
    }
  }
  const size_t size = static_cast<size_t>(element_count(array.shape)), got = file.size() - header;
  if (got != size) {
    refuse(path,
           fmt::format("holds {} bytes of data, its sizes {} ask for {}", got, to_string(array.shape), size));
  }
  file.erase(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(header));
  array.bytes = std::move(file);
  return array;
}

}  // namespace faultline::models
