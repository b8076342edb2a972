// What main.cpp and a backend know of each other. A program is main.cpp, the small files
// beside it and exactly one backend; backends report what went wrong by std::exception.
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

  // Before the clock starts: brings the runtime up and sets its threads. Returns how many
  // it reports, nothing if it cannot be asked.
  virtual std::optional<int64_t> prepare(const Options& options) = 0;

  // Reads the model, up to where it could run.
  virtual void load(const std::string& model) = 0;

  // Takes the inputs of every later run; they outlive them, and other values may be written
  // into them between two runs.
  virtual void bind(std::vector<Tensor>& inputs) = 0;

  // One inference, done when it returns.
  virtual void run() = 0;

  // The outputs of the last run.
  virtual std::vector<Tensor> answer() = 0;

  // Called only where options.profile names a file: what runs from here on is profiled,
  // and then written there.
  virtual void begin_profile() = 0;
  virtual void write_profile(const std::string& path) = 0;
};

// These four are the backend's.
extern const char* const format_name;   // member of kit.formats
extern const char* const runtime_name;  // the distribution, as Info.runtime
extern const char* const profile_kind;  // Profile.kind
std::unique_ptr<Backend> make_backend();

}  // namespace kit
