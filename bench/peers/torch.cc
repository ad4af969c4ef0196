#include "bench/peers/torch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "bench/peers/torch_files.h"
#include "engine/base/cpu.h"
#include "engine/base/error.h"
#include "engine/base/file.h"

namespace faultline::bench {
namespace {

const char* numpy_type(Dtype dtype) {
  if (dtype == Dtype::kF32) return "<f4";
  if (dtype == Dtype::kI32) return "<i4";
  throw Error(ErrorCode::kDtype, "torch", std::string("no array of ") + name(dtype));
}

}  // namespace

TorchInputs::TorchInputs() {
  std::string pattern = (std::filesystem::temp_directory_path() / "faultline-torch-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw Error(ErrorCode::kIo, pattern, "cannot be made");
  folder_ = pattern;
  index_["arrays"] = nlohmann::json::object();
}

TorchInputs::~TorchInputs() {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

void TorchInputs::add(const std::string& name, const std::vector<Tensor>& arrays) {
  Shape shape = arrays.front().shape();
  shape.insert(shape.begin(), static_cast<int64_t>(arrays.size()));
  std::string bytes;
  for (const Tensor& array : arrays) {
    bytes.append(static_cast<const char*>(array.contiguous().raw()), array.size_bytes());
  }
  write_file(folder_ + "/" + name, bytes);
  index_["arrays"][name] = {{"file", name}, {"shape", shape}, {"type", numpy_type(arrays.front().dtype())}};
}

void TorchInputs::add(const std::string& name, const Tensor& array) {
  add(name, std::vector<Tensor>{array});
  index_["arrays"][name]["shape"] = array.shape();
}

void TorchInputs::set(const std::string& name, const nlohmann::json& value) { index_[name] = value; }

std::string TorchInputs::write() {
  write_file(folder_ + "/index.json", index_.dump());
  return folder_;
}

TorchWorker::TorchWorker(const std::string& task, const std::string& format, const std::string& layout,
                         const std::string& folder) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
    throw Error(ErrorCode::kIo, "torch", "no pipe to be had");
  }
  const std::string script(torch_files().front().second);
  std::vector<const char*> arguments = {"python3", "-c"};
  for (const std::string* word : {&script, &task, &format, &layout, &folder}) {
    arguments.push_back(word->c_str());
  }
  arguments.push_back(nullptr);
  process_ = fork();
  if (process_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    if (!instruction_set_is_best()) {
      // Of its own kernels, of oneDNN's and of MKL's.
      setenv("ATEN_CPU_CAPABILITY", "avx2", 1);
      setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
      setenv("MKL_ENABLE_INSTRUCTIONS", "AVX2", 1);
    }
    execvp("python3", const_cast<char**>(arguments.data()));
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = fdopen(in[1], "w");
  from_ = fdopen(out[0], "r");
  version_ = line();
}

TorchWorker::~TorchWorker() {
  std::fclose(to_);  // the worker ends with its input
  std::fclose(from_);
  waitpid(process_, nullptr, 0);
}

std::string TorchWorker::line() {
  std::string text;
  for (int c; (c = std::fgetc(from_)) != EOF;) {
    if (c == '\n') return text;
    text += static_cast<char>(c);
  }
  throw Error(ErrorCode::kUnsupported, "torch", "the worker has ended; what it said is above");
}

double TorchWorker::run(int threads, int steps, std::vector<double>* norms) {
  std::fprintf(to_, "%d %d %d\n", threads, steps, norms != nullptr);
  std::fflush(to_);
  std::istringstream answer(line());
  double seconds = 0;
  answer >> seconds;
  for (double value; norms && answer >> value;) norms->push_back(value);
  return seconds;
}

}  // namespace faultline::bench
