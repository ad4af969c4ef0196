#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <set>

#include "engine/base/file.h"
#include "harness/ledger.h"
#include "tests/harness/small_runs.h"

namespace faultline::harness {
namespace {

using Catch::Matchers::Contains;

// What opening the file says: "opened", or the error's text.
std::string refusal(const std::string& path) {
  try {
    Ledger::open(path);
  } catch (const Error& e) {
    return e.what();
  }
  return "opened";
}

void execute(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  REQUIRE(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  REQUIRE(sqlite3_close(database) == SQLITE_OK);
}

TEST_CASE("ledger: a file that is cut short anywhere is refused, with its path") {
  Runs runs;
  const std::string path = runs.path(small()), bytes = read_file(path), cut = path + ".cut";
  constexpr size_t kPage = 4096;
  std::set<size_t> lengths = {0, 1, 15, 16, 17, 99, 100, 101, bytes.size() - 1, bytes.size() / 2};
  for (size_t page = kPage; page < bytes.size(); page += kPage) {
    for (const size_t length : {page - 1, page, page + 1}) lengths.insert(length);
  }
  for (const size_t length : lengths) {
    if (length == bytes.size()) continue;
    CAPTURE(length, bytes.size());
    write_file(cut, bytes.substr(0, length));
    CHECK_THAT(refusal(cut), Contains(cut));
  }
  write_file(cut, bytes);
  CHECK(refusal(cut) == "opened");
}

TEST_CASE("ledger: what is not a ledger is refused") {
  Runs runs;
  const std::string path = runs.path(small()) + ".other";
  write_file(path, "step,lr\n0,0.05\n");
  CHECK_THAT(refusal(path), Contains(path));
  write_file(path, std::string(8192, '\0'));
  CHECK_THAT(refusal(path), Contains(path));
  CHECK_THAT(refusal("/nowhere/ledger.sqlite"), Contains("/nowhere/ledger.sqlite"));
  CHECK_THAT(refusal("/"), Contains("/"));
  const std::string database = path + ".sqlite";
  execute(database, "CREATE TABLE cats(name TEXT)");
  CHECK_THAT(refusal(database), Contains(database));
}

TEST_CASE("ledger: another schema is refused with both versions") {
  Runs runs;
  const std::string path = runs.path(small());
  execute(path, "UPDATE meta SET value = '99' WHERE key = 'schema'");
  CHECK_THAT(refusal(path), Contains("schema 99") && Contains("reads 1"));
}

TEST_CASE("ledger: a changed value, digest, root or entry is found when it is opened") {
  Runs runs;
  const Recipe recipe = small();
  for (const char* change :
       {"UPDATE steps SET lr = lr * 2 WHERE step = 3", "UPDATE steps SET scale = 3 WHERE step = 0",
        "UPDATE steps SET loss_bits = loss_bits + 1 WHERE step = 5",
        "UPDATE steps SET skipped = 1 WHERE step = 1",
        "UPDATE steps SET digest = zeroblob(16) WHERE step = 2",
        "UPDATE steps SET root = zeroblob(16) WHERE step = 4",
        "UPDATE steps SET digests = zeroblob(length(digests)) WHERE step = 2",
        "UPDATE steps SET digests = zeroblob(5) WHERE step = 2", "DELETE FROM steps WHERE step = 2",
        "UPDATE meta SET value = 'no json' WHERE key = 'manifest'"}) {
    const std::string path = runs.path(recipe);
    execute(path, change);
    CAPTURE(change);
    CHECK(refusal(path) != "opened");
  }
}

TEST_CASE("ledger: its digests and roots are those of the steps that were trained") {
  for (const char* detail : {"state", "ops"}) {
    const Recipe recipe = small({{"ledger.detail", detail}});
    Runs runs;
    const Ledger ledger = runs.ledger(recipe);
    Trainer trainer(recipe);
    Digest root;
    for (const LedgerStep& kept : ledger.steps()) {
      const Digest digest = step_digest(trainer.step());
      root = chain_root(root, digest);
      CHECK(kept.digest == digest);
      CHECK(kept.root == root);
    }
    CHECK(trainer.next_step() == trainer.steps());
  }
}

TEST_CASE("ledger: what a killed program leaves holds all but about its last second") {
  Runs runs;
  const std::string path = runs.path(small()) + ".killed";
  const auto held = [&](const std::string& file) { return Ledger::open(file).size(); };
  LedgerWriter writer(path, Json::object());
  StepRecord record;
  for (record.step = 0; record.step < 300; ++record.step) {
    record.time_us = 30'000;
    writer.add(record);
    // What the file holds is all that is left of a program that is killed here.
    std::filesystem::copy_file(path, path + ".left", std::filesystem::copy_options::overwrite_existing);
    CHECK(record.step + 1 - held(path + ".left") <= 1'000'000 / record.time_us);
  }
  record.time_us = 2'000'000;
  writer.add(record);
  CHECK(held(path) == 301);
}

TEST_CASE("ledger: when a run has ended, no file of it is open") {
  Runs runs;
  const std::string path = std::filesystem::canonical(runs.path(small())).string();
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the iterator's own
    CHECK(std::filesystem::read_symlink(entry.path(), gone).string().rfind(path, 0) != 0);
  }
}

}  // namespace
}  // namespace faultline::harness
