#include "harness/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "engine/base/error.h"
#include "harness/sqlite.h"

namespace faultline::harness {
namespace {

// A program that is killed loses the steps since the last commit, about so much of its time.
constexpr int64_t kMicrosecondsPerCommit = 1'000'000;

// Steps that wait to be written together: what a step does once finds its code and data out of the caches.
constexpr size_t kMostWaiting = 64;

// Everything of a step is one row: `layout` names its entries (the same list step after step), `digests`
// holds theirs. SQLite does not wait for the disk: a machine that loses its power may lose the file.
constexpr const char* kSchema = R"(
  PRAGMA journal_mode = DELETE;
  PRAGMA synchronous = OFF;
  CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE layouts(id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);
  CREATE TABLE steps(step INTEGER PRIMARY KEY, lr REAL, advances INTEGER, scale REAL, overflow INTEGER,
    first_nonfinite TEXT, nonfinite_element INTEGER, skipped INTEGER, decision TEXT, loss REAL, loss_bits INTEGER,
    layout INTEGER REFERENCES layouts, digests BLOB, digest BLOB, root BLOB, time_us INTEGER);
  CREATE TABLE underflow(step INTEGER, tensor TEXT, lost INTEGER, subnormal INTEGER, nonzero INTEGER);
  CREATE TABLE draws(stream TEXT PRIMARY KEY, count INTEGER) WITHOUT ROWID;
  CREATE TABLE snapshots(step INTEGER, parameter TEXT, "values" BLOB, PRIMARY KEY(step, parameter)) WITHOUT ROWID;
  BEGIN;
)";

constexpr const char* kStepColumns =
    "step, lr, advances, scale, overflow, first_nonfinite, nonfinite_element, skipped, decision, loss_bits, "
    "digest, "
    "root, time_us";

// With the names of its entries, column 13, and their digests.
const std::string kSelectSteps = fmt::format(
    "SELECT {}, names, digests FROM steps JOIN layouts ON layouts.id = steps.layout", kStepColumns);

Digest digest_from(std::string_view blob, const std::string& path) {
  Digest digest;
  if (blob.size() != digest.bytes.size())
    throw Error(ErrorCode::kData, path, "holds a digest of the wrong size");
  std::memcpy(digest.bytes.data(), blob.data(), blob.size());
  return digest;
}

// The entries of steps. Most have the names of the step before.
class EntryReader {
 public:
  explicit EntryReader(std::string path) : path_(std::move(path)) {}

  std::vector<Entry> read(std::string_view names, std::string_view digests) {
    if (names != text_) {
      const Json list = Json::parse(names, nullptr, false);
      if (!list.is_array()) refuse();
      names_.clear();
      for (const Json& name : list) {
        if (!name.is_string()) refuse();
        names_.emplace_back(name.get<std::string>());
      }
      text_ = names;
    }
    if (names_.size() * sizeof(Digest) != digests.size()) refuse();
    std::vector<Entry> entries;
    entries.reserve(names_.size());
    for (size_t i = 0; i < names_.size(); ++i) {
      entries.push_back({names_[i], digest_from(digests.substr(sizeof(Digest) * i, sizeof(Digest)), path_)});
    }
    return entries;
  }

 private:
  [[noreturn]] void refuse() const {
    throw Error(ErrorCode::kData, path_, "is damaged: a step's entries do not match their names");
  }

  std::string path_, text_;
  std::vector<EntryName> names_;  // that text_ holds
};

std::string packed(const std::vector<Entry>& entries) {
  std::string bytes(entries.size() * sizeof(Digest), '\0');
  char* to = bytes.data();
  for (const Entry& entry : entries) to = std::ranges::copy(entry.digest.bytes, to).out;
  return bytes;
}

std::string names_of(const std::vector<Entry>& entries) {
  Json names = Json::array();
  for (const Entry& entry : entries) names.push_back(entry.name.text());
  return names.dump();
}

LedgerStep read_step(const Statement& row, const std::string& path) {
  LedgerStep record;
  record.step = row.integer(0);
  record.lr = row.real(1);
  record.advances = row.integer(2);
  record.scale = row.real(3);
  record.overflow = row.integer(4) != 0;
  record.first_nonfinite = row.text(5);
  record.nonfinite_element = row.integer(6);
  record.skipped = row.integer(7) != 0;
  record.decision = row.text(8);
  record.loss = std::bit_cast<float>(static_cast<uint32_t>(row.integer(9)));
  record.digest = digest_from(row.blob(10), path);
  record.root = digest_from(row.blob(11), path);
  record.time_us = row.integer(12);
  return record;
}

Json to_json(const RunResult& r) {
  return {{"final_loss", r.final_loss},
          {"test_loss", r.test_loss},
          {"test_accuracy", r.test_accuracy},
          {"steps", r.steps},
          {"step_time_us", r.step_time_us}};
}

// JSON has no NaN: nlohmann writes null, which reads back as NaN here.
double number(const Json& json, const char* key) {
  return json.at(key).is_null() ? std::numeric_limits<double>::quiet_NaN() : json.at(key).get<double>();
}

}  // namespace

struct LedgerWriter::Parts {
  explicit Parts(const std::string& path)
      : database(path, Database::Mode::kCreate),
        schema((database.execute(kSchema), 0)),
        add_step(database,
                 "INSERT INTO steps VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)"),
        add_underflow(database, "INSERT INTO underflow VALUES(?1,?2,?3,?4,?5)"),
        add_snapshot(database, "INSERT INTO snapshots VALUES(?1,?2,?3)") {}

  void set_meta(const std::string& key, const std::string& value) {
    Statement(database, "INSERT OR REPLACE INTO meta VALUES(?1,?2)").bind(key).bind(value).run();
  }

  int64_t layout_of(const std::vector<Entry>& entries) {
    const bool same = last_layout != 0 && last_entries.size() == entries.size() &&
                      std::equal(entries.begin(), entries.end(), last_entries.begin(),
                                 [](const Entry& a, const EntryName& name) { return a.name == name; });
    if (same) return last_layout;
    last_entries.clear();
    for (const Entry& entry : entries) last_entries.push_back(entry.name);
    const std::string names = names_of(entries);
    Statement(database, "INSERT OR IGNORE INTO layouts(names) VALUES(?1)").bind(names).run();
    Statement find(database, "SELECT id FROM layouts WHERE names = ?1");
    find.bind(names).step();
    return last_layout = find.integer(0);
  }

  void write(const StepRecord& r) {
    const Digest digest = step_digest(r);
    root = chain_root(root, digest);
    const std::string digests = packed(r.entries);
    add_step.bind(r.step).bind(r.lr).bind(r.advances).bind(r.scale).bind(int64_t{r.overflow});
    add_step.bind(r.first_nonfinite).bind(r.nonfinite_element).bind(int64_t{r.skipped}).bind(r.decision);
    add_step.bind(double{r.loss}).bind(int64_t{std::bit_cast<uint32_t>(r.loss)}).bind(layout_of(r.entries));
    add_step.bind_blob(digests.data(), digests.size());
    add_step.bind_blob(digest.bytes.data(), digest.bytes.size());
    add_step.bind_blob(root.bytes.data(), root.bytes.size()).bind(r.time_us);
    add_step.run();
    for (const auto& [tensor, count] : r.underflow) {
      add_underflow.bind(r.step)
          .bind(tensor)
          .bind(count.lost)
          .bind(count.subnormal)
          .bind(count.nonzero)
          .run();
    }
  }

  void write_waiting() {
    for (const StepRecord& record : waiting) write(record);
    waiting.clear();
  }

  void commit() {
    write_waiting();
    database.execute("COMMIT; BEGIN");
    uncommitted_us = 0;
  }

  Database database;
  int schema;  // orders the schema before the statements
  Statement add_step, add_underflow, add_snapshot;
  std::vector<EntryName> last_entries;
  int64_t last_layout = 0;
  Digest root;  // of the steps that are written
  std::vector<StepRecord> waiting;
  int64_t uncommitted_us = 0;  // what those took that are not committed
};

LedgerWriter::LedgerWriter(const std::string& path, const Json& manifest)
    : parts_(std::make_unique<Parts>(path)) {
  parts_->set_meta("schema", std::to_string(kLedgerSchema));
  parts_->set_meta("manifest", manifest.dump());
  parts_->set_meta("closed", "0");
  parts_->commit();
}

LedgerWriter::~LedgerWriter() {
  if (!parts_) return;
  try {
    parts_->write_waiting();
  } catch (const Error&) {
    // What could be written is committed.
  }
  sqlite3_exec(parts_->database.handle(), "COMMIT", nullptr, nullptr, nullptr);
}

void LedgerWriter::add(StepRecord record) {
  Parts& p = *parts_;
  p.uncommitted_us += record.time_us;
  p.waiting.push_back(std::move(record));
  if (p.uncommitted_us >= kMicrosecondsPerCommit) p.commit();
  if (p.waiting.size() >= kMostWaiting) p.write_waiting();
}

void LedgerWriter::add_snapshot(int64_t step, const std::vector<std::pair<std::string, Tensor>>& parameters) {
  for (const auto& [name, value] : parameters) {
    const Tensor whole = value.contiguous();
    parts_->add_snapshot.bind(step).bind(name);
    parts_->add_snapshot.bind_blob(whole.data<float>(), static_cast<size_t>(whole.size_bytes())).run();
  }
}

void LedgerWriter::close(const RunResult& result, const std::map<std::string, uint64_t>& draws,
                         const std::vector<Entry>& final_state) {
  for (const auto& [stream, count] : draws) {
    Statement add_draw(parts_->database, "INSERT INTO draws VALUES(?1,?2)");
    add_draw.bind(stream).bind(static_cast<int64_t>(count)).run();
  }
  parts_->write_waiting();
  parts_->set_meta("result", to_json(result).dump());
  parts_->set_meta("final_names", names_of(final_state));
  Json hex = Json::array();
  for (const Entry& entry : final_state) hex.push_back(entry.digest.hex());
  parts_->set_meta("final_digests", hex.dump());
  parts_->set_meta("closed", "1");
  parts_->database.execute("COMMIT");
  parts_.reset();
}

struct Ledger::Parts {
  explicit Parts(const std::string& path) : database(path, Database::Mode::kRead) {}

  std::string meta(const std::string& key) {
    Statement find(database, "SELECT value FROM meta WHERE key = ?1");
    if (!find.bind(key).step())
      throw Error(ErrorCode::kData, database.path(), "has no '" + key + "': not a ledger");
    return find.text(0);
  }

  int64_t number(const char* sql) {
    Statement row(database, sql);
    row.step();
    return row.integer(0);
  }

  Json json(const std::string& key) {
    const Json value = Json::parse(meta(key), nullptr, false);
    if (value.is_discarded()) throw Error(ErrorCode::kData, database.path(), "has a damaged '" + key + "'");
    return value;
  }

  mutable Database database;
  Json manifest;
};

Ledger::Ledger(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Ledger::~Ledger() = default;
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;

Ledger Ledger::open(const std::string& path) {
  auto parts = std::make_unique<Parts>(path);
  Statement check(parts->database, "PRAGMA quick_check(1)");
  if (!check.step() || check.text(0) != "ok") {
    throw Error(ErrorCode::kData, path, "is damaged or cut short: " + check.text(0));
  }
  // SQLite takes a last page that is cut for one that ends in zeros.
  const int64_t expected_bytes = parts->number("PRAGMA page_size") * parts->number("PRAGMA page_count");
  const auto size_bytes = static_cast<int64_t>(std::filesystem::file_size(path));
  if (size_bytes != expected_bytes) {
    throw Error(ErrorCode::kData, path,
                fmt::format("is cut short: {} bytes instead of {}", size_bytes, expected_bytes));
  }
  const std::string schema = parts->meta("schema");
  if (schema != std::to_string(kLedgerSchema)) {
    throw Error(ErrorCode::kData, path,
                fmt::format("has ledger schema {}, this program reads {}: use the version that wrote it",
                            schema, kLedgerSchema));
  }
  parts->manifest = parts->json("manifest");
  Ledger ledger(std::move(parts));
  ledger.check_steps();
  return ledger;
}

void Ledger::check_steps() const {
  Statement rows(parts_->database, (kSelectSteps + " ORDER BY step").c_str());
  EntryReader entries(path());
  Digest root;
  int64_t next = 0;
  for (; rows.step() && rows.integer(0) == next; ++next) {
    LedgerStep record = read_step(rows, path());
    record.entries = entries.read(rows.blob(13), rows.blob(14));
    root = chain_root(root, record.digest);
    if (record.digest != step_digest(record) || record.root != root) {
      throw Error(ErrorCode::kData, path(),
                  fmt::format("is damaged: step {} does not give its own digest", next));
    }
  }
  if (next < size()) refuse_step(next);
}

void Ledger::refuse_step(int64_t step) const {
  throw Error(ErrorCode::kNotFound, path(),
              fmt::format("has no step {}, it holds 0 .. {}", step, size() - 1));
}

const std::string& Ledger::path() const { return parts_->database.path(); }
const Json& Ledger::manifest() const { return parts_->manifest; }
bool Ledger::closed() const { return parts_->meta("closed") == "1"; }

std::optional<RunResult> Ledger::result() const {
  if (!closed()) return std::nullopt;
  const Json json = parts_->json("result");
  return RunResult{number(json, "final_loss"), number(json, "test_loss"), number(json, "test_accuracy"),
                   json.at("steps").get<int64_t>(), number(json, "step_time_us")};
}

std::map<std::string, uint64_t> Ledger::draws() const {
  std::map<std::string, uint64_t> draws;
  Statement rows(parts_->database, "SELECT stream, count FROM draws");
  while (rows.step()) draws[rows.text(0)] = static_cast<uint64_t>(rows.integer(1));
  return draws;
}

int64_t Ledger::size() const {
  Statement count(parts_->database, "SELECT count(*) FROM steps");
  count.step();
  return count.integer(0);
}

LedgerStep Ledger::step(int64_t step) const {
  Statement row(parts_->database, (kSelectSteps + " WHERE step = ?1").c_str());
  if (!row.bind(step).step()) refuse_step(step);
  LedgerStep record = read_step(row, path());
  record.entries = EntryReader(path()).read(row.blob(13), row.blob(14));
  return record;
}

std::vector<LedgerStep> Ledger::steps() const {
  std::vector<LedgerStep> steps;
  const std::string sql = fmt::format("SELECT {} FROM steps ORDER BY step", kStepColumns);
  Statement rows(parts_->database, sql.c_str());
  while (rows.step()) steps.push_back(read_step(rows, path()));
  Statement counts(parts_->database, "SELECT step, tensor, lost, subnormal, nonzero FROM underflow");
  while (counts.step()) {
    amp::UnderflowCount& count = steps.at(static_cast<size_t>(counts.integer(0))).underflow[counts.text(1)];
    count.lost = counts.integer(2);
    count.subnormal = counts.integer(3);
    count.nonzero = counts.integer(4);
  }
  return steps;
}

std::vector<Entry> Ledger::final_state() const {
  if (!closed()) return {};
  const Json names = parts_->json("final_names"), digests = parts_->json("final_digests");
  std::vector<Entry> entries;
  for (size_t i = 0; i < names.size(); ++i) {
    entries.push_back({names[i].get<std::string>(), Digest::from_hex(digests.at(i).get<std::string>())});
  }
  return entries;
}

std::vector<int64_t> Ledger::snapshot_steps() const {
  std::vector<int64_t> steps;
  Statement rows(parts_->database, "SELECT DISTINCT step FROM snapshots ORDER BY step");
  while (rows.step()) steps.push_back(rows.integer(0));
  return steps;
}

std::map<std::string, std::vector<float>> Ledger::snapshot(int64_t step) const {
  std::map<std::string, std::vector<float>> parameters;
  Statement rows(parts_->database, "SELECT parameter, \"values\" FROM snapshots WHERE step = ?1");
  rows.bind(step);
  while (rows.step()) {
    const std::string_view blob = rows.blob(1);
    std::vector<float>& values = parameters[rows.text(0)];
    values.resize(blob.size() / sizeof(float));
    std::memcpy(values.data(), blob.data(), values.size() * sizeof(float));
  }
  return parameters;
}

}  // namespace faultline::harness
