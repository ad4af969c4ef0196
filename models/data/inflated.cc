#include "models/data/inflated.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <new>

#include "engine/base/error.h"
#include "engine/base/memory.h"

namespace faultline::models {
namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK;

std::atomic<bool> hands_down = false;

// Memory of this name is found again by it among the open files of a process that inherited it.
std::string memory_name(const std::string& sum) { return "faultline-data-" + sum; }

std::optional<Inflated> map_sealed(int file, size_t size) {
  void* const data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (data == MAP_FAILED) return {};
  return Inflated{{static_cast<const uint8_t*>(data), size},
                  std::shared_ptr<const void>(data, [size](void* memory) { munmap(memory, size); })};
}

// A file in memory, filled and sealed. Nothing where the system has no such files: then others inflate for themselves.
template <class Fill>
std::optional<Inflated> in_memory_file(const std::string& name, size_t size, const Fill& fill) {
  const int file = memfd_create(name.c_str(), MFD_ALLOW_SEALING);
  if (file < 0) return {};
  void* data = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(size)) == 0)
    data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (data != MAP_FAILED) {
    const bool filled = fill(static_cast<uint8_t*>(data));
    munmap(data, size);
    if (filled && fcntl(file, F_ADD_SEALS, kSeals) == 0) {
      if (auto inflated = map_sealed(file, size)) return inflated;  // the file stays open, to be inherited
    }
  }
  close(file);
  return {};
}

}  // namespace

Inflated inflate(const std::string& path, std::string_view file, const std::string& sum) {
  constexpr size_t kFrame = 18, kMostRatio = 1032;  // bytes around the data; what deflate can reach
  const auto* bytes = reinterpret_cast<const uint8_t*>(file.data());
  const auto broken = [&] { throw Error(ErrorCode::kData, path, "is not a whole gzip file"); };
  if (file.size() < kFrame) broken();
  const uint8_t* last = bytes + file.size() - 4;  // the size modulo 2^32, little-endian
  const size_t size = last[0] | last[1] << 8 | last[2] << 16 | size_t{last[3]} << 24;
  if (size > kMostRatio * file.size()) broken();
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (!decompressor) throw std::bad_alloc();
  const auto fill = [&](uint8_t* data) {
    return libdeflate_gzip_decompress(decompressor.get(), bytes, file.size(), data, size, nullptr) ==
           LIBDEFLATE_SUCCESS;
  };
  if (hands_down && !sum.empty() && size > 0) {
    if (auto shared = in_memory_file(memory_name(sum), size, fill)) return *shared;
  }
  const std::shared_ptr<std::byte> memory = allocate_memory(size);
  uint8_t* const data = reinterpret_cast<uint8_t*>(memory.get());
  if (!fill(data)) broken();
  return {{data, size}, memory};
}

void hand_down_inflated(bool on) { hands_down = on; }

std::optional<Inflated> inherited(const std::string& sum) {
  if (hands_down) return {};
  const std::string link = "/memfd:" + memory_name(sum) + " (deleted)";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    if (std::filesystem::read_symlink(entry.path(), error) != link) continue;
    const int file = std::atoi(entry.path().filename().c_str());
    struct stat status;
    if (fstat(file, &status) != 0 || (fcntl(file, F_GET_SEALS) & kSeals) != kSeals) continue;
    if (auto inflated = map_sealed(file, static_cast<size_t>(status.st_size))) return inflated;
  }
  return {};
}

}  // namespace faultline::models
