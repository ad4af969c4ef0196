#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"

namespace faultline::bench {

// What both sides start from: a folder of raw arrays and an index.json, removed at the end.
class TorchInputs {
 public:
  TorchInputs();
  ~TorchInputs();
  TorchInputs(const TorchInputs&) = delete;

  // Arrays of the same shape under one name become one with a leading axis. f32 or i32, contiguous.
  void add(const std::string& name, const std::vector<Tensor>& arrays);
  void add(const std::string& name, const Tensor& array);
  void set(const std::string& name, const nlohmann::json& value);
  std::string write();  // index.json; the folder

 private:
  std::string folder_;
  nlohmann::json index_;
};

// A process that does the same work in PyTorch, in deterministic mode (torch_worker.py).
class TorchWorker {
 public:
  // `task` is lenet or basic_block, `format` f32 or bf16, `layout` contiguous or channels_last. The first call on a
  // machine installs torch into a folder under the user's cache, which takes minutes.
  // Throws: kUnsupported if there is no torch to be had.
  TorchWorker(const std::string& task, const std::string& format, const std::string& layout,
              const std::string& folder);
  ~TorchWorker();
  TorchWorker(const TorchWorker&) = delete;

  const std::string& version() const { return version_; }

  // Does so many steps, returns their seconds. `norms` gets those of each step's results: the loss, or the output and
  // the gradients; asking for them, as another number of threads does, starts the training anew.
  double run(int threads, int steps, std::vector<double>* norms = nullptr);

 private:
  std::string line();

  int process_ = 0;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
  std::string version_;
};

}  // namespace faultline::bench
