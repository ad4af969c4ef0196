#include "harness/sweep_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "harness/ledger.h"
#include "harness/run.h"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

// The first setting or name in which two identities differ, for people.
std::string first_difference(const Json& there, const Json& here) {
  const Json a = there.flatten(), b = here.flatten();
  const auto value = [](const Json& flat, const std::string& key) {
    return flat.contains(key) ? flat[key].dump() : "absent";
  };
  Json keys = a;
  keys.update(b);
  for (const auto& [key, ignored] : keys.items()) {
    if (value(a, key) != value(b, key)) {
      return key.substr(1) + " is " + value(a, key) + " there and " + value(b, key) + " here";
    }
  }
  return "nothing";
}

Json read_json(const fs::path& path) {
  const Json json = Json::parse(read_file(path.string()), nullptr, false);
  if (json.is_discarded())
    throw Error(ErrorCode::kData, path.string(), "is not JSON; use --out or move it away");
  return json;
}

}  // namespace

SweepFolder::SweepFolder(const std::string& path, const Json& identity, bool fresh)
    : path_(fs::absolute(path).lexically_normal().string()), identity_(identity) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (!error) lock_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) {
    throw Error(ErrorCode::kIo, path, "cannot be made: " + (error ? error.message() : strerror(errno)));
  }
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    throw Error(ErrorCode::kMismatch, path, "another sweep is running in this folder; use --out");
  }
  try {
    check_owner(fresh);
    if (!fs::exists(path_ + "/" + kSweepFile)) write({});
  } catch (...) {
    close(lock_);
    fs::remove(path_, error);  // Only if it is empty: then it was made just now, or nothing is lost.
    throw;
  }
}

SweepFolder::~SweepFolder() { close(lock_); }

void SweepFolder::check_owner(bool fresh) {
  const fs::path file = fs::path(path_) / kSweepFile;
  if (!fs::exists(file)) {
    fs::remove(file.string() + ".partial");  // of a sweep that was killed in its first moment
    if (fs::is_empty(path_)) return;
    throw Error(ErrorCode::kMismatch, path_,
                "holds files that no sweep wrote (" +
                    fs::directory_iterator(path_)->path().filename().string() +
                    "); use --out with an empty or new folder");
  }
  const Json sweep = read_json(file);
  if (fresh) return remove_sweep(sweep);
  const Json there = sweep.value("identity", Json::object());
  if (there == identity_) {
    earlier_seconds_ = sweep.value("seconds", 0.0);
    return;
  }
  throw Error(ErrorCode::kMismatch, path_,
              "belongs to another sweep: " + first_difference(there, identity_) + "; use --out or --fresh");
}

bool SweepFolder::has(const PlannedRun& run) const {
  const std::string path = of(run) + "/" + kLedgerFile;
  if (!fs::exists(path)) return false;
  try {
    const Ledger ledger = Ledger::open(path);
    return ledger.closed() && ledger.manifest().at("labels").at("key") == run.key;
  } catch (const std::exception&) {
    return false;  // Cut short or damaged: it is made again.
  }
}

void SweepFolder::remove_run(const std::string& folder) const {
  const fs::path run = fs::path(path_) / folder;
  std::error_code ignored;
  for (const char* name :
       {kLedgerFile, kManifestFile, kScheduleFile, kRecipeFile, kVerdictFile, kClockFile}) {
    for (const char* suffix : {"", "-journal", "-wal", "-shm", ".partial"}) {
      fs::remove(run / (std::string(name) + suffix), ignored);
    }
  }
  // Folders go only when nothing is left in them.
  for (fs::path level = run; level != fs::path(path_); level = level.parent_path())
    fs::remove(level, ignored);
}

void SweepFolder::remove_sweep(const Json& sweep) const {
  for (const Json& cell : sweep.value("identity", Json::object()).value("cells", Json::array())) {
    const fs::path folder = cell.get<std::string>();  // recipe/perturbation/seed-n
    if (folder.is_absolute() || folder.lexically_normal() != folder || *folder.begin() == "..") {
      throw Error(ErrorCode::kData, path_,
                  "its sweep.json names the folder '" + folder.string() + "'; use --out");
    }
    remove_run(folder.string());
    remove_run((folder.parent_path().parent_path() / kBaseline / folder.filename()).string());
  }
  for (const char* name : {kMatrixFile, kReportFile, kSweepFile}) fs::remove(fs::path(path_) / name);
}

void SweepFolder::write(const SweepResult& result) const {
  Json json = to_json(result);
  json["identity"] = identity_;
  write_file(path_ + "/" + kSweepFile, json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace faultline::harness
