// The program as people run it: every case starts real processes.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <set>

#include "harness/sweep_result.h"
#include "tests/support/skip.h"
#include "tests/support/sweep_program.h"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kSmall = {"sweep", "--recipe", "tiny.yaml", "--jobs", "2"};

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// matrix.csv without its last column, which is a time.
std::string untimed(const std::string& csv) {
  std::string result;
  for (const std::string& line : lines(csv)) result += line.substr(0, line.rfind(',')) + "\n";
  return result;
}

void check_failure(const ProcessEnd& end, const std::string& part) {
  INFO(end.errors);
  CHECK(end.status == 2);
  CHECK(std::count(end.errors.begin(), end.errors.end(), '\n') == 1);
  CHECK_THAT(end.errors, Catch::StartsWith("faultline: "));
  CHECK_THAT(end.errors, Catch::Contains(part));
}

std::set<std::string> files_under(const fs::path& folder) {
  std::set<std::string> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_directory()) files.insert(fs::relative(entry.path(), folder).string());
  }
  return files;
}

TEST_CASE("sweep: a run with a thread for each place comes first, with no other beside it") {
  const SweepProgram program;
  const ProcessEnd end = program.run(
      with(kSmall, {"--perturbation", "repeat", "--perturbation", "threads", "--perturbation", "ulp"}));
  INFO(end.errors);
  REQUIRE(end.status == 0);
  std::vector<std::string> trained = lines(end.errors);
  std::erase_if(trained,
                [](const std::string& line) { return line.find(" trained in ") == std::string::npos; });
  REQUIRE(trained.size() == 4);
  CHECK_THAT(trained[0], Catch::Contains("] tiny/threads/"));
}

TEST_CASE("sweep: repeat and threads are bitwise, the others part, and everything is written") {
  const SweepProgram program;
  const ProcessEnd end =
      program.run({"sweep", "--recipe", "tiny.yaml", "--recipe", "half.yaml", "--seeds", "2"});
  INFO(end.output << end.errors);
  REQUIRE(end.status == 0);
  const SweepResult result = read_sweep((program.folder() / "faultline-out").string());
  REQUIRE(result.cells.size() == 2 * (6 + 6));  // accumulate and unit are for neither
  for (const Cell& cell : result.cells) {
    INFO(cell.run_folder << ": " << cell.failure);
    CHECK(cell.failure.empty());
    // The last bits of an f32 sum show in an f16 result once in some 2^12 elements: in a model of so few, a sum in
    // another order may leave a whole run as it is.
    const bool expected = cell.perturbation == "repeat" || cell.perturbation == "threads";
    if (expected || cell.recipe == "tiny") CHECK(cell.verdict.bitwise == expected);
    CHECK(cell.step_time_us > 0);
  }
  CHECK(lines(end.output).back() == (program.folder() / "faultline-out/report.html").string());
  CHECK_THAT(end.output, Catch::StartsWith(answer(result)));
  CHECK_THAT(end.output, Catch::Contains(matrix_text(result, false)));
  CHECK(end.output.find('\x1b') == std::string::npos);
  CHECK_THAT(end.errors, Catch::Contains("/52] ") && !Catch::Contains("\r"));
  CHECK(program.read("faultline-out/matrix.csv") == matrix_csv(result));
  const std::set<std::string> files = files_under(program.folder() / "faultline-out");
  for (const char* file : {"sweep.json", "matrix.csv", "report.html", "half/ulp/seed-2/ledger.sqlite",
                           "half/ulp/seed-2/manifest.json", "half/ulp/seed-2/schedule.csv"}) {
    CHECK(files.contains(file));
  }
  for (const std::string& file : files) CHECK_FALSE(file.ends_with(".partial"));
}

TEST_CASE("sweep: the same command again keeps every run and says the same") {
  const SweepProgram program;
  const ProcessEnd first = program.run(kSmall);
  REQUIRE(first.status == 0);
  const std::string csv = program.read("faultline-out/matrix.csv");
  const ProcessEnd second = program.run(kSmall);
  CHECK(second.status == 0);
  CHECK(second.output == first.output);
  CHECK_THAT(second.errors, Catch::Contains("kept 7 of 7 runs"));
  CHECK(program.read("faultline-out/matrix.csv") == csv);
}

TEST_CASE("sweep: a recipe on one chip parts on others, and each has its run and its place in the report") {
  const SweepProgram program;
  const std::vector<std::string> command = {
      "sweep",  "--recipe", "half.yaml", "--set",     "precision.unit=h100",
      "--only", "*/unit",   "--expect",  "unit=parts"};
  const ProcessEnd end = program.run(command);
  INFO(end.output << end.errors);
  CHECK(end.status == 1);
  CHECK_THAT(end.output, Catch::Contains("(2 of 3 units)") &&
                             Catch::Contains("not as expected: half under unit:b200, seed 1: bitwise"));
  const SweepResult result = read_sweep((program.folder() / "faultline-out").string());
  CHECK(result.perturbations == std::vector<std::string>{"unit"});
  REQUIRE(result.cells.size() == 3);
  for (const Cell& cell : result.cells) {
    INFO(cell.perturbation);
    CHECK(cell.verdict.bitwise == (cell.perturbation == "unit:b200"));  // b200 has h100's rule for f16
    if (!cell.verdict.bitwise) CHECK((cell.verdict.first && cell.verdict.first->inputs_equal));
    CHECK_THAT(program.read("faultline-out/report.html"), Catch::Contains("half under " + cell.perturbation));
  }
  CHECK_THAT(program.run(with(command, {"--dry-run"})).output,
             Catch::Contains("4 runs (1 of them baselines)"));
}

TEST_CASE("sweep: an expectation that is not met gives exit code 1 and says which") {
  const SweepProgram program;
  const ProcessEnd met = program.run(with(kSmall, {"--expect", "ulp=parts", "--expect", "threads=bitwise"}));
  CHECK(met.status == 0);
  const ProcessEnd unmet = program.run(with(kSmall, {"--expect", "ulp=bitwise"}));
  CHECK(unmet.status == 1);
  CHECK_THAT(unmet.output, Catch::Contains("not as expected: tiny under ulp, seed 1: step 0"));
  check_failure(program.run(with(kSmall, {"--expect", "ulp"})), "should look like threads=bitwise");
  check_failure(program.run(with(kSmall, {"--expect", "thread=bitwise"})), "did you mean 'threads'?");
  check_failure(program.run(with(kSmall, {"--only", "*/ulp", "--expect", "threads=bitwise"})),
                "this sweep has no cell under threads");
}

TEST_CASE("sweep: a sum that depends on threads is reported by the threads column") {
  const SweepProgram program("tests/harness/faultline_planted");
  const ProcessEnd end = program.run(
      with(kSmall, {"--only", "*/threads", "--only", "*/repeat", "--set", "precision.unit=planted"}));
  INFO(end.output << end.errors);
  CHECK(end.status == 1);
  CHECK_THAT(end.output, Catch::Contains("not as expected: tiny under threads, seed 1: step 0, fc1"));
  // This test does not know the unit, so it reads the file as it is.
  const Json sweep = Json::parse(program.read("faultline-out/sweep.json"));
  for (const Json& cell : sweep.at("cells")) {
    const Verdict verdict = verdict_from_json(cell.at("verdict"));
    CHECK(verdict.bitwise == (cell.at("perturbation") == "repeat"));
    if (!verdict.bitwise)
      CHECK((verdict.first && verdict.first->phase == "forward" && verdict.first->inputs_equal));
  }
}

TEST_CASE("sweep: a folder of another sweep is refused with what differs, and --fresh starts over") {
  const SweepProgram program;
  REQUIRE(program.run(with(kSmall, {"--only", "*/ulp"})).status == 0);
  program.write("faultline-out/notes.txt", "mine");
  program.write("faultline-out/tiny/ulp/seed-1/notes.txt", "mine too");
  const std::set<std::string> before = files_under(program.folder() / "faultline-out");
  check_failure(
      program.run(with(kSmall, {"--only", "*/ulp", "--set", "train.steps=7"})),
      "belongs to another sweep: recipes/tiny/train.steps is 6 there and 7 here; use --out or --fresh");
  CHECK(files_under(program.folder() / "faultline-out") == before);
  const ProcessEnd fresh = program.run(with(kSmall, {"--only", "*/threads", "--fresh"}));
  CHECK(fresh.status == 0);
  const std::set<std::string> after = files_under(program.folder() / "faultline-out");
  CHECK(after.contains("notes.txt"));
  CHECK(after.contains("tiny/ulp/seed-1/notes.txt"));
  CHECK_FALSE(after.contains("tiny/ulp/seed-1/ledger.sqlite"));
  CHECK(after.contains("tiny/threads/seed-1/ledger.sqlite"));
}

TEST_CASE("sweep: a folder that holds other files is left alone, with --fresh too") {
  const SweepProgram program;
  fs::create_directory(program.folder() / "mine");
  program.write("mine/ledger.sqlite", "precious");
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--fresh"}}) {
    check_failure(program.run(with(with(kSmall, {"--out", "mine"}), more)),
                  "holds files that no sweep wrote (ledger.sqlite)");
  }
  CHECK(files_under(program.folder() / "mine") == std::set<std::string>{"ledger.sqlite"});
}

TEST_CASE("sweep: a damaged ledger is made again") {
  const SweepProgram program;
  const std::vector<std::string> command = with(kSmall, {"--only", "*/ulp"});
  REQUIRE(program.run(command).status == 0);
  const std::string csv = program.read("faultline-out/matrix.csv");
  const fs::path ledger = program.folder() / "faultline-out/tiny/ulp/seed-1/ledger.sqlite";
  fs::resize_file(ledger, fs::file_size(ledger) / 2);
  const ProcessEnd again = program.run(command);
  CHECK(again.status == 0);
  CHECK_THAT(again.errors, Catch::Contains("kept 1 of 2 runs"));
  CHECK(untimed(program.read("faultline-out/matrix.csv")) == untimed(csv));
}

TEST_CASE("sweep: interrupted at any moment, it keeps what is finished and goes on to the same matrix") {
  const SweepProgram whole;
  REQUIRE(whole.run(kSmall).status == 0);
  const std::string csv = untimed(whole.read("faultline-out/matrix.csv"));
  std::mt19937 random(20260101);
  const SweepProgram program;
  for (int round = 0; round < 12; ++round) {
    const double seconds = std::uniform_real_distribution(0.02, 0.6)(random);
    const std::string foreground =
        round % 2 == 0 ? "--foreground " : "";  // the sweep alone, or its children too
    const ProcessEnd end = program.run_by_shell(
        "exec timeout " + foreground + "--preserve-status -s INT " + std::to_string(seconds) + " \"$@\"",
        kSmall);
    INFO("after " << seconds << " s: " << end.errors);
    CHECK((end.status == 0 || end.status == 2 || end.status == 128 + SIGINT));
    if (end.status == 2) CHECK_THAT(end.errors, Catch::Contains("interrupted; what has finished is kept"));
    if (end.status == 0) fs::remove_all(program.folder() / "faultline-out");  // It was faster: start over.
    if (fs::exists(program.folder() / "faultline-out/sweep.json")) {
      CHECK_NOTHROW(read_sweep((program.folder() / "faultline-out").string()));
    }
  }
  CHECK(program.run(kSmall).status == 0);
  CHECK(untimed(program.read("faultline-out/matrix.csv")) == csv);
}

TEST_CASE("sweep: no space is one line, and nothing half-written stays") {
  const SweepProgram program;
  const ProcessEnd nothing = program.run_by_shell("ulimit -f 0; exec \"$@\"", kSmall);
  check_failure(nothing, "sweep.json: cannot be written");
  CHECK_FALSE(fs::exists(program.folder() / "faultline-out"));

  const ProcessEnd little = program.run_by_shell("ulimit -f 16; exec \"$@\"", kSmall);  // blocks of 512 bytes
  INFO(little.output << little.errors);
  CHECK(little.status == 2);
  CHECK_THAT(lines(little.errors).back(), Catch::StartsWith("faultline: "));
  for (const std::string& file : files_under(program.folder() / "faultline-out")) {
    INFO(file);
    CHECK_FALSE(file.ends_with(".partial"));
    CHECK_FALSE(file.ends_with("ledger.sqlite"));
    CHECK_FALSE(file.ends_with("-journal"));
  }
}

TEST_CASE("sweep: a run that fails stops nothing else, and its cell says why") {
  const SweepProgram program;
  const std::vector<std::string> command = with(kSmall, {"--only", "*/eigen", "--only", "*/ulp"});
  REQUIRE(program.run(command).status == 0);
  // A folder where the ledger should be.
  const fs::path ledger = program.folder() / "faultline-out/tiny/eigen/seed-1/ledger.sqlite";
  fs::remove(ledger);
  fs::create_directories(ledger / "something");
  const ProcessEnd end = program.run(command);
  INFO(end.output << end.errors);
  CHECK(end.status == 2);
  CHECK_THAT(lines(end.errors).back(), Catch::StartsWith("faultline: tiny/eigen/seed-1: "));
  const SweepResult result = read_sweep((program.folder() / "faultline-out").string());
  REQUIRE(result.cells.size() == 2);
  CHECK_THAT(worst(result, "tiny", "eigen")->failure, Catch::Contains("ledger.sqlite"));
  CHECK(worst(result, "tiny", "ulp")->failure.empty());
  CHECK(fs::exists(program.folder() / "faultline-out/report.html"));
}

TEST_CASE("sweep: a mistake in a recipe or an option is one line, before anything is written") {
  const SweepProgram program;
  program.write("key.yaml", "amp:\n  scalar: none\n");
  program.write("type.yaml", "train: {steps: many}\n");
  program.write("range.yaml", "data: {batch: 0}\n");
  program.write("text.yaml", "name: [\n");
  check_failure(program.run({"sweep", "--recipe", "key.yaml"}),
                "key.yaml:2: unknown setting 'amp.scalar', did you mean 'amp.scaler'?");
  check_failure(program.run({"sweep", "--recipe", "type.yaml"}),
                "train.steps = \"many\" must be a whole number");
  check_failure(program.run({"sweep", "--recipe", "range.yaml"}), "data.batch = 0 is out of range");
  check_failure(program.run({"sweep", "--recipe", "text.yaml"}), "not YAML");
  check_failure(program.run({"sweep", "--recipe", "absent.yaml"}), "absent.yaml");
  check_failure(program.run({"sweep", "--recipe", "f16-dynamc"}), "did you mean 'f16-dynamic'?");
  check_failure(program.run({"sweep", "--perturbation", "thread"}), "did you mean 'threads'?");
  check_failure(program.run({"sweep", "--set", "train.steps"}), "has no '='");
  check_failure(program.run({"sweep", "--seeds", "0"}), "'0' is not a whole number above 0");
  check_failure(program.run({"sweep", "--seeds", "1,1"}), "seed 1 is given twice");
  check_failure(program.run({"sweep", "--jobs", "-1"}), "--jobs");
  check_failure(program.run({"sweep", "--sedes", "3"}), "did you mean '--seeds'?");
  check_failure(program.run({"swep"}), "did you mean 'sweep'?");
  check_failure(program.run({"report", "nowhere"}), "nowhere: is not the folder of a sweep");
  CHECK_FALSE(fs::exists(program.folder() / "faultline-out"));
}

TEST_CASE("sweep: a missing or altered data file is one line with the sums, before anything is written") {
  const fs::path installed = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(installed)) skip("no Fashion-MNIST: install dataset-fashion-mnist");
  const SweepProgram program;
  const std::vector<std::string> command = {"sweep",
                                            "--recipe",
                                            "f32",
                                            "--only",
                                            "f32/ulp",
                                            "--set",
                                            "data.path=" + (program.folder() / "data").string()};
  fs::create_directory(program.folder() / "data");
  check_failure(program.run(command), "train-images-idx3-ubyte.gz");
  for (const auto& entry : fs::directory_iterator(installed)) {
    fs::copy_file(entry.path(), program.folder() / "data" / entry.path().filename());
  }
  std::string labels = program.read("data/t10k-labels-idx1-ubyte.gz");
  labels[labels.size() / 2] ^= 1;
  program.write("data/t10k-labels-idx1-ubyte.gz", labels);
  const ProcessEnd altered = program.run(command);
  check_failure(altered, "t10k-labels-idx1-ubyte.gz");
  CHECK_THAT(altered.errors, Catch::Matches("(.|\n)*[0-9a-f]{64}(.|\n)*[0-9a-f]{64}(.|\n)*"));
  CHECK_FALSE(fs::exists(program.folder() / "faultline-out"));
}

TEST_CASE("sweep: under bazel run, relative paths are the caller's") {
  const SweepProgram program;
  std::vector<std::string> arguments =
      with({program.path()}, with(kSmall, {"--only", "*/repeat", "--out", "there"}));
  const ProcessEnd end =
      run_process(arguments, {{"BUILD_WORKING_DIRECTORY", program.folder().string()}}, "/");
  INFO(end.errors);
  CHECK(end.status == 0);
  CHECK(fs::exists(program.folder() / "there/report.html"));
}

TEST_CASE("sweep: a copy of the program elsewhere, called sweep, is the whole program") {
  const SweepProgram program;
  fs::copy_file(program.path(), program.folder() / "sweep");
  const ProcessEnd end =
      run_process({(program.folder() / "sweep").string(), "--recipe", "tiny.yaml", "--only", "*/repeat"}, {},
                  program.folder().string());
  INFO(end.errors);
  CHECK(end.status == 0);
  const Json manifest = Json::parse(program.read("faultline-out/tiny/repeat/seed-1/manifest.json"));
  CHECK(manifest.at("labels").at("perturbation") == "repeat");
  CHECK(manifest.at("labels").at("clock_shift_s") != 0);
}

TEST_CASE("sweep: list and dry-run say what would be done and write nothing") {
  const SweepProgram program;
  const ProcessEnd list = program.run(with(kSmall, {"--list", "--only", "*/u*"}));
  CHECK(list.status == 0);
  CHECK_THAT(list.output, Catch::Contains("tiny: mlp") && Catch::Contains("tiny/ulp, seed 1"));
  const ProcessEnd dry = program.run(with(kSmall, {"--dry-run", "--seeds", "3"}));
  CHECK(dry.status == 0);
  CHECK_THAT(dry.output, Catch::Contains("21 runs (3 of them baselines), 18 comparisons") &&
                             Catch::Contains("about") && Catch::Contains("MB"));
  CHECK_FALSE(fs::exists(program.folder() / "faultline-out"));
}

TEST_CASE("sweep: the clock, folder, locale and environment of a repeat are other ones") {
  const SweepProgram program;
  REQUIRE(program.run(with(kSmall, {"--only", "*/repeat"})).status == 0);
  const fs::path library = program.folder() / "faultline-out/tiny/repeat/seed-1/clock_shift.so";
  REQUIRE(fs::exists(library));
  const ProcessEnd date = run_process(
      {"date", "+%Y"}, {{"LD_PRELOAD", library.string()}, {"FAULTLINE_CLOCK_SHIFT_S", "630720000"}});
  const ProcessEnd today = run_process({"date", "+%Y"});
  const int years = std::stoi(date.output) - std::stoi(today.output);
  CHECK((years == 19 || years == 20));
  const Json labels =
      Json::parse(program.read("faultline-out/tiny/repeat/seed-1/manifest.json")).at("labels");
  CHECK(labels.at("environment").contains("TZ"));
  CHECK(labels.at("environment").contains("GLIBC_TUNABLES"));
}

}  // namespace
}  // namespace faultline::harness
