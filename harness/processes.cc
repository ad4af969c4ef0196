#include "harness/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "engine/base/error.h"

namespace faultline::harness {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void check(int error, const std::string& program) {
  if (error != 0) throw Error(ErrorCode::kIo, program, "cannot be started: " + std::string(strerror(error)));
}

struct Pipe {
  explicit Pipe(const std::string& program) {
    int ends[2];
    check(pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno, program);
    reading = ends[0];
    writing = ends[1];
    fcntl(reading, F_SETFL, O_NONBLOCK);
  }
  ~Pipe() {
    if (reading >= 0) close(reading);
    close(writing);
  }
  int reading, writing;
};

// The spawn call's two objects, freed with the block.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!changes.contains(text.substr(0, text.find('=')))) merged.push_back(text);
  }
  for (const auto& [name, value] : changes) {
    if (!value.empty()) merged.push_back(name + "=" + value);
  }
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Takes what is there. Closes the file at its end: a process that is ending has closed it a while before it is gone, and
// poll() does not wait for a file at its end.
void drain(int& file, std::string& into) {
  if (file < 0) return;
  char buffer[4096];
  ssize_t size;
  while ((size = read(file, buffer, sizeof buffer)) > 0) into.append(buffer, static_cast<size_t>(size));
  if (size == 0) close(std::exchange(file, -1));
}

}  // namespace

std::string shell_quoted(const std::string& text) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./,:@";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string ProcessEnd::reason() const {
  if (status < 0) return "ended by signal " + std::to_string(-status) + " (" + strsignal(-status) + ")";
  const size_t last = errors.find_last_not_of('\n');
  if (last == std::string::npos) return "exit code " + std::to_string(status);
  const size_t before = errors.find_last_of('\n', last);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  return errors.substr(begin, last + 1 - begin);
}

Processes::Processes() {
  sigset_t held;
  sigemptyset(&held);
  for (const int number : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&held, number);
  sigprocmask(SIG_BLOCK, &held, &previous_);
  signals_ = signalfd(-1, &held, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signals_ < 0) throw Error(ErrorCode::kIo, "processes", "no signalfd: " + std::string(strerror(errno)));
}

Processes::~Processes() {
  stop();
  close(signals_);
  sigprocmask(SIG_SETMASK, &previous_, nullptr);
}

void Processes::start(int id, const ProcessCall& call) {
  const std::string& program = call.arguments.at(0);
  Pipe output(program), errors(program);
  SpawnSettings settings;
  posix_spawn_file_actions_addopen(&settings.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&settings.files, output.writing, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&settings.files, errors.writing, STDERR_FILENO);
  if (!call.working_folder.empty()) {
    posix_spawn_file_actions_addchdir_np(&settings.files, call.working_folder.c_str());
  }
  posix_spawnattr_setsigmask(&settings.attributes, &previous_);
  posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<std::string> arguments = call.arguments, environment = merged_environment(call.environment);
  pid_t pid;
  check(posix_spawnp(&pid, program.c_str(), &settings.files, &settings.attributes, pointers(arguments).data(),
                     pointers(environment).data()),
        program);
  running_.push_back(
      {pid, std::exchange(output.reading, -1), std::exchange(errors.reading, -1), now_s(), {}});
  running_.back().end.id = id;
}

void Processes::read_signals() {
  signalfd_siginfo info;
  while (read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) interrupted_ = true;
  }
}

bool Processes::ended(Running& running) {
  int status = 0;
  const bool ended = waitpid(running.pid, &status, WNOHANG) == running.pid;
  drain(running.output, running.end.output);
  drain(running.errors, running.end.errors);
  if (!ended) return false;
  running.end.status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  running.end.seconds = now_s() - running.started_s;
  for (const int file : {running.output, running.errors}) {
    if (file >= 0) close(file);
  }
  return true;
}

std::vector<ProcessEnd> Processes::wait(int timeout_ms) {
  std::vector<pollfd> files = {{signals_, POLLIN, 0}};
  for (const Running& running : running_) {
    files.push_back({running.output, POLLIN, 0});
    files.push_back({running.errors, POLLIN, 0});
  }
  poll(files.data(), files.size(), timeout_ms);
  read_signals();
  std::vector<ProcessEnd> ends;
  std::erase_if(running_, [&](Running& running) {
    if (!ended(running)) return false;
    ends.push_back(std::move(running.end));
    return true;
  });
  return ends;
}

void Processes::stop() {
  const double patience_s = 2, asked_s = now_s();
  for (const Running& running : running_) kill(running.pid, SIGTERM);
  while (!running_.empty()) {
    wait(100);
    if (now_s() - asked_s < patience_s) continue;
    for (const Running& running : running_) kill(running.pid, SIGKILL);
  }
}

}  // namespace faultline::harness
