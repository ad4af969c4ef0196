#include "models/data/idx.h"

#include <fmt/format.h>

#include "engine/base/error.h"

namespace faultline::models {
namespace {

constexpr int kUnsignedByte = 8;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kData, path, why);
}

}  // namespace

IdxArray parse_idx(const std::string& path, const Inflated& file, int rank) {
  constexpr int64_t kLargest = int64_t{1} << 28;
  const std::span<const uint8_t> bytes = file.bytes;
  if (bytes.size() < 4) refuse(path, "ends before the IDX header");
  if (bytes[0] != 0 || bytes[1] != 0 || bytes[2] != kUnsignedByte || bytes[3] != rank) {
    refuse(path,
           fmt::format("starts with {:02x}{:02x}{:02x}{:02x}, not with 000008{:02x} (IDX, bytes, {} sizes)",
                       bytes[0], bytes[1], bytes[2], bytes[3], rank, rank));
  }
  const size_t header = 4 + 4 * static_cast<size_t>(rank);
  if (bytes.size() < header) refuse(path, "ends inside the IDX header");
  IdxArray array;
  for (size_t at = 4; at < header; at += 4) {
    array.shape.push_back(int64_t{bytes[at]} << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 |
                          bytes[at + 3]);
    if (element_count(array.shape) > kLargest) {
      refuse(path, "has sizes " + to_string(array.shape) + ", too large");
    }
  }
  const size_t size = static_cast<size_t>(element_count(array.shape)), got = bytes.size() - header;
  if (got != size) {
    refuse(path,
           fmt::format("holds {} bytes of data, its sizes {} ask for {}", got, to_string(array.shape), size));
  }
  array.bytes = bytes.subspan(header);
  array.memory = file.memory;
  return array;
}

}  // namespace faultline::models
