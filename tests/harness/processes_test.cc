#include "harness/processes.h"

#include <signal.h>

#include <catch2/catch.hpp>
#include <map>

#include "engine/base/error.h"
#include "tests/support/process.h"

namespace faultline::harness {
namespace {

TEST_CASE("processes: exit code, output and errors of a child are told") {
  const ProcessEnd end = run_process({"sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"});
  CHECK(end.status == 3);
  CHECK(end.output == "out\n");
  CHECK(end.errors == "one\ntwo\n");
  CHECK(end.reason() == "two");
}

TEST_CASE("processes: more output than a pipe holds is read whole") {
  const ProcessEnd end = run_process({"sh", "-c", "head -c 1000000 /dev/zero; head -c 300000 /dev/zero >&2"});
  CHECK(end.status == 0);
  CHECK(end.output.size() == 1000000);
  CHECK(end.errors.size() == 300000);
}

TEST_CASE("processes: a child ended by a signal says which") {
  const ProcessEnd end = run_process({"sh", "-c", "kill -SEGV $$"});
  CHECK(end.status == -SIGSEGV);
  CHECK(end.reason() == "ended by signal 11 (Segmentation fault)");
}

TEST_CASE("processes: environment and folder are the child's alone") {
  setenv("FAULTLINE_TEST_KEPT", "kept", 1);
  setenv("FAULTLINE_TEST_REMOVED", "there", 1);
  const ProcessEnd end =
      run_process({"sh", "-c", "echo $FAULTLINE_TEST_KEPT $FAULTLINE_TEST_REMOVED. $ADDED; pwd"},
                  {{"FAULTLINE_TEST_REMOVED", ""}, {"ADDED", "added"}}, "/usr");
  CHECK(end.output == "kept . added\n/usr\n");
}

TEST_CASE("processes: a program or folder that is missing is an error that names the program") {
  CHECK_THROWS_AS(run_process({"/no/such/program"}), Error);
  CHECK_THROWS_WITH(run_process({"/no/such/program"}),
                    Catch::Contains("/no/such/program: cannot be started"));
  CHECK_THROWS_AS(run_process({"true"}, {}, "/no/such/folder"), Error);
}

TEST_CASE("processes: several children are told apart by their ids") {
  Processes processes;
  for (int id = 0; id < 5; ++id) {
    processes.start(id, {{"sh", "-c", "exit " + std::to_string(10 + id)}, {}, ""});
  }
  std::map<int, int> statuses;
  while (processes.running() > 0) {
    for (const ProcessEnd& end : processes.wait(1000)) statuses[end.id] = end.status;
  }
  CHECK(statuses == std::map<int, int>{{0, 10}, {1, 11}, {2, 12}, {3, 13}, {4, 14}});
}

TEST_CASE("processes: SIGINT is held back and told, and children can be stopped") {
  Processes processes;
  processes.start(0, {{"sleep", "1000"}, {}, ""});
  processes.start(1, {{"sh", "-c", "trap '' TERM; sleep 1000 & wait"}, {}, ""});  // insists on staying
  CHECK_FALSE(processes.interrupted());
  raise(SIGINT);
  while (!processes.interrupted()) processes.wait(1000);
  processes.stop();
  CHECK(processes.running() == 0);
}

TEST_CASE("processes: children see the signals that their caller held back") {
  const ProcessEnd end = run_process({"sh", "-c", "kill -INT $$; sleep 1000"});
  CHECK(end.status == -SIGINT);
}

TEST_CASE("processes: quoted text reaches a program as one argument, letter by letter") {
  for (const std::string text : {"plain", "", "a b", "it's", "$HOME `x` \"y\" \\ *", "--set=a,b"}) {
    const ProcessEnd end = run_process({"sh", "-c", "printf '[%s]' " + shell_quoted(text)});
    CHECK(end.output == "[" + text + "]");
  }
}

}  // namespace
}  // namespace faultline::harness
