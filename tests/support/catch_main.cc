// The main of every test: Catch2 2.13, plus skipped cases and the JUnit file that Bazel asks for, which
// together carry every case's own result out to tools/count_tests.py.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "tests/support/skip.h"

// Present in a binary that is linked with the sanitizer.
extern "C" __attribute__((weak)) void __asan_init();
extern "C" __attribute__((weak)) void __tsan_init();

namespace faultline {
namespace {

struct CaseResult {
  std::string name;
  std::string failure;      // "" if nothing failed.
  std::string skip_reason;  // "" if not skipped.
  double seconds = 0;

  bool failed() const { return !failure.empty(); }
  bool skipped() const { return !failed() && !skip_reason.empty(); }
};

std::string skip_reason;  // Of the case that runs now.

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Returns the text with a backslash before each character of `special`, as Catch's test names want it.
std::string escaped(const std::string& text, const std::string& special) {
  std::string result;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) result += '\\';
    result += c;
  }
  return result;
}

std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string reproduce_command(const std::string& case_name) {
  std::string command = "tools/bazel test ";
  if (__asan_init) command += "--config=asan ";
  if (__tsan_init) command += "--config=tsan ";
  return command + environment("TEST_TARGET") + " --test_arg=" + shell_quoted(escaped(case_name, "\\,[\""));
}

std::string describe(const Catch::AssertionStats& stats) {
  const Catch::AssertionResult& result = stats.assertionResult;
  std::ostringstream text;
  text << result.getSourceInfo() << ": " << result.getExpressionInMacro();
  if (result.hasExpandedExpression()) text << "\n  with expansion: " << result.getExpandedExpression();
  for (const Catch::MessageInfo& info : stats.infoMessages) text << "\n  " << info.message;
  return text.str() + "\n";
}

void write_junit(const std::string& path, const std::vector<CaseResult>& cases) {
  size_t failed = 0, skipped = 0;
  for (const CaseResult& result : cases) {
    failed += result.failed();
    skipped += result.skipped();
  }
  std::ofstream file(path);
  Catch::XmlWriter xml(file);
  const auto suites = xml.scopedElement("testsuites");
  auto suite = xml.scopedElement("testsuite");
  suite.writeAttribute("name", environment("TEST_TARGET")).writeAttribute("tests", cases.size());
  suite.writeAttribute("failures", failed).writeAttribute("skipped", skipped);
  for (const CaseResult& result : cases) {
    auto element = xml.scopedElement("testcase");
    element.writeAttribute("classname", environment("TEST_TARGET")).writeAttribute("name", result.name);
    element.writeAttribute("time", result.seconds);
    if (result.failed()) xml.scopedElement("failure").writeText(result.failure);
    if (result.skipped()) xml.scopedElement("skipped").writeAttribute("message", result.skip_reason);
  }
}

// Runs beside Catch's console output. After a fatal signal Catch still calls the three ends below, so the
// file then holds every case so far, the crashed one as a failure.
class ResultListener : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    TestEventListenerBase::testCaseStarting(info);
    current_ = CaseResult{info.name, "", "", 0};
    skip_reason.clear();
    start_ = std::chrono::steady_clock::now();
  }

  bool assertionEnded(const Catch::AssertionStats& stats) override {
    if (!stats.assertionResult.isOk()) current_.failure += describe(stats);
    return true;
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    current_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    current_.skip_reason = skip_reason;
    if (stats.totals.testCases.failed == 0) {
      current_.failure.clear();
    } else if (!current_.failed()) {
      current_.failure = "failed without a failed assertion\n";
    }
    cases_.push_back(current_);
    TestEventListenerBase::testCaseEnded(stats);
  }

  void testRunEnded(const Catch::TestRunStats& stats) override {
    const std::string path = environment("XML_OUTPUT_FILE");
    if (!path.empty()) write_junit(path, cases_);
    for (const CaseResult& result : cases_) {
      if (result.skipped()) std::cout << "skipped: " << result.name << ": " << result.skip_reason << "\n";
      if (result.failed()) {
        std::cout << "failed: " << result.name << "\n  " << reproduce_command(result.name) << "\n";
      }
    }
    std::cout.flush();
    TestEventListenerBase::testRunEnded(stats);
  }

 private:
  CaseResult current_;
  std::chrono::steady_clock::time_point start_;
  std::vector<CaseResult> cases_;
};

CATCH_REGISTER_LISTENER(ResultListener)

}  // namespace

void skip(const std::string& reason) {
  skip_reason = reason.empty() ? "no reason given" : reason;
  throw Catch::TestFailureException();  // Ends a case quietly: a failed REQUIRE does the same after its
                                        // report.
}

}  // namespace faultline

int main(int argc, char** argv) {
  Catch::Session session;
  // A misspelt case name must not pass as a run of no cases.
  session.configData().warnings = Catch::WarnAbout::NoTests;
  return session.run(argc, argv);
}
