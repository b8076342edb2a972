// The interface between main.cpp and a backend. A program is main.cpp, the small files beside it
// and exactly one backend; backends report errors as std::exception.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor.h"

namespace kit {

// Exit codes, see Exit in kit/runners/protocol.py.
enum class Stage { usage = 2, load, input, run, output, affinity, profile };

// The options of Request in kit/runners/protocol.py.
struct Options {
  std::string format;
  std::string model;
  std::string input;
  std::string out;
  std::string cpus;
  std::string profile;
  std::vector<TensorSpec> inputs;
  int64_t rows = 1;
  int64_t warmup = 0;
  int64_t iters = 0;
  int64_t threads = 0;
  double warmup_seconds = 0;
  double min_seconds = 0;
  double max_seconds = 0;

  size_t bytes() const;  // of the inputs of one inference
};

// Reads a command line; throws std::invalid_argument with a sentence.
Options parse(int count, char** words);

class Backend {
 public:
  virtual ~Backend() = default;

  // Starts the runtime and sets its number of threads, before times are measured. Returns the
  // number that the runtime reports, or nothing if it has no such function.
  virtual std::optional<int64_t> prepare(const Options& options) = 0;

  // Loads the model, so that it is ready to run.
  virtual void load(const std::string& model) = 0;

  // Sets the inputs of all later runs. They outlive the runs, and their values may be changed
  // between two runs.
  virtual void bind(std::vector<Tensor>& inputs) = 0;

  // Called after the values of the inputs have been changed, outside the timed section: a backend
  // that does not compute in their memory copies them.
  virtual void renew() {}

  // One inference, done when it returns.
  virtual void run() = 0;

  // The outputs of the last run.
  virtual std::vector<Tensor> answer() = 0;

  // Called only if options.profile names a file: later runs are profiled, and the profile is
  // written to that file.
  virtual void begin_profile() = 0;
  virtual void write_profile(const std::string& path) = 0;
};

// Every backend defines these four.
extern const char* const format_name;   // member of kit.formats
extern const char* const runtime_name;  // the distribution, as Info.runtime
extern const char* const profile_kind;  // Profile.kind
std::unique_ptr<Backend> make_backend();

}  // namespace kit
