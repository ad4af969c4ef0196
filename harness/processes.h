#pragma once

#include <signal.h>

#include <map>
#include <string>
#include <vector>

namespace faultline::harness {

// A process to start.
struct ProcessCall {
  std::vector<std::string> arguments;              // arguments[0]: the program
  std::map<std::string, std::string> environment;  // added to, or "" removed from, the caller's own
  std::string working_folder;                      // "": the caller's
};

// How a process ended, and all it wrote.
struct ProcessEnd {
  int id = 0;      // as given to start()
  int status = 0;  // exit code, or -(number of the signal that ended it)
  std::string output, errors;
  double seconds = 0;

  // The last line of `errors`, or the signal's name.
  std::string reason() const;
};

// Text as one word of a shell's command line.
std::string shell_quoted(const std::string& text);

// Child processes whose ends are awaited together with SIGINT and SIGTERM, which are held back from the
// moment this exists: they only make `interrupted` true. One at a time per process; not for threads.
class Processes {
 public:
  Processes();
  ~Processes();  // Stops what still runs, then delivers signals as before.
  Processes(const Processes&) = delete;

  // Throws kIo with the program's name if the system refuses.
  void start(int id, const ProcessCall& call);
  size_t running() const { return running_.size(); }

  // Waits until a process ends, a signal comes or the time is up; returns the processes that ended.
  std::vector<ProcessEnd> wait(int timeout_ms);
  bool interrupted() const { return interrupted_; }

  // Asks every process to end, insists after two seconds, and waits for all.
  void stop();

 private:
  struct Running {
    pid_t pid;
    int output, errors;  // reading ends; -1: at its end
    double started_s;
    ProcessEnd end;
  };
  void read_signals();
  static bool ended(Running& running);

  std::vector<Running> running_;
  int signals_ = -1;
  sigset_t previous_;
  bool interrupted_ = false;
};

}  // namespace faultline::harness
