#include "harness/machine.h"

#include <git2.h>
#include <gnu/libc-version.h>
#include <hwy/highway.h>
#include <sqlite3.h>
#include <sys/utsname.h>

#include <cstdlib>

#include "engine/base/cpu.h"
#include "engine/base/digest.h"
#include "engine/base/file.h"
#include "harness/flags.h"

namespace faultline::harness {
namespace {

using Json = nlohmann::json;

constexpr size_t kLargestDiff = 1 << 20;

std::string diff_to_head(git_repository* repository, git_commit* head) {
  git_tree* tree = nullptr;
  git_diff* diff = nullptr;
  git_buf text = GIT_BUF_INIT;
  if (git_commit_tree(&tree, head) == 0 &&
      git_diff_tree_to_workdir_with_index(&diff, repository, tree, nullptr) == 0) {
    git_diff_to_buf(&text, diff, GIT_DIFF_FORMAT_PATCH);
  }
  std::string result(text.ptr ? text.ptr : "", text.size);
  git_buf_dispose(&text);
  git_diff_free(diff);
  git_tree_free(tree);
  if (result.size() > kLargestDiff) result.resize(kLargestDiff);
  return result;
}

// Commit and local changes of the sources that `bazel run` built from; "unknown" outside of it.
Json git_state() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (!workspace) return "unknown";
  git_libgit2_init();
  Json state = "unknown";
  git_repository* repository = nullptr;
  git_oid id;
  git_commit* head = nullptr;
  if (git_repository_open(&repository, workspace) == 0 &&
      git_reference_name_to_id(&id, repository, "HEAD") == 0 &&
      git_commit_lookup(&head, repository, &id) == 0) {
    char hex[GIT_OID_HEXSZ + 1];
    state = {{"commit", git_oid_tostr(hex, sizeof(hex), &id)}, {"diff", diff_to_head(repository, head)}};
  }
  git_commit_free(head);
  git_repository_free(repository);
  git_libgit2_shutdown();
  return state;
}

std::string platform() {
  utsname names{};
  uname(&names);
  return std::string(names.sysname) + " " + names.release + " " + names.machine;
}

}  // namespace

std::string build_id() {
  static const std::string kId = [] {
    const std::string program = read_file("/proc/self/exe");
    return digest_bytes(program.data(), program.size()).hex();
  }();
  return kId;
}

Json machine_manifest() {
  return {
      {"git", git_state()},
      {"build", {{"id", build_id()}, {"compiler", __VERSION__}, {"flags", FAULTLINE_FLAGS}}},
      {"cpu", {{"model", cpu_model()}, {"flags", cpu_flags()}, {"instruction_set", instruction_set()}}},
      {"libraries",
       {{"glibc", gnu_get_libc_version()},
        {"highway",
         std::to_string(HWY_MAJOR) + "." + std::to_string(HWY_MINOR) + "." + std::to_string(HWY_PATCH)},
        {"sqlite", sqlite3_libversion()},
        {"libgit2", LIBGIT2_VERSION}}},
      {"platform", platform()},
  };
}

}  // namespace faultline::harness
