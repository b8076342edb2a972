// LiteRT with XNNPACK through its C interface; settings are those of kit/formats/litert/session.py.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>

#include "events.h"
#include "litert_api.h"
#include "runner.h"
#include "system.h"

namespace kit {
namespace {

// LiteRtElementType of each DType, in its order.
constexpr int kTypes[] = {1, 10, 4, 2, 3, 6};

// The wheel exports no function that names a status.
const char* words_of(LiteRtStatus status) {
  switch (status) {
    case 1: return "an argument is not valid";
    case 2: return "there is not enough memory";
    case 3: return "the runtime failed";
    case 5: return "it is not supported";
    case 6: return "it was not found";
    case 501: return "the file is damaged, or no LiteRT file";
    case 504: return "an operator of the file cannot be prepared";
    default: return "it failed";
  }
}

void check(LiteRtStatus status, const char* what) {
  if (status == 0) return;
  throw std::runtime_error("LiteRT cannot " + std::string(what) + ": " + words_of(status) +
                           " (status " + std::to_string(status) + ")");
}

DType dtype_of(int type) {
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i] == type) return static_cast<DType>(i);
  }
  throw std::runtime_error("the model has a tensor of the element type " + std::to_string(type) +
                           " of LiteRT, which kit does not read");
}

TensorSpec spec_of(const LiteRtTensorType& type) {
  TensorSpec spec{dtype_of(type.element), {}};
  for (size_t i = 0; i < type.rank && i < kLiteRtMaxRank; ++i) spec.shape.push_back(type.sides[i]);
  return spec;
}

// Maps a file until the process ends. LiteRT's own function for files crashes on damaged ones:
// only the one for memory verifies the content first.
std::pair<const void*, size_t> map(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  if (descriptor < 0 || fstat(descriptor, &about) != 0) {
    throw std::runtime_error(with_errno("cannot read " + path));
  }
  const auto bytes = static_cast<size_t>(about.st_size);
  if (bytes == 0) throw std::runtime_error("cannot use " + path + ": it is empty");
  const void* content = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (content == MAP_FAILED) throw std::runtime_error(with_errno("cannot read " + path));
  close(descriptor);
  return {content, bytes};
}

TensorSpec channels_first(const TensorSpec& last) {
  return {last.dtype, {last.shape[0], last.shape[3], last.shape[1], last.shape[2]}};
}

// Copies values from channels first to channels last.
void transpose(const Tensor& from, Tensor& to) {
  const size_t size = size_of(from.spec.dtype);
  const auto batch = static_cast<size_t>(from.spec.shape[0]);
  const auto channels = static_cast<size_t>(from.spec.shape[1]);
  const size_t pixels = from.values.size() / (size * std::max<size_t>(1, batch * channels));
  for (size_t b = 0; b < batch; ++b) {
    for (size_t c = 0; c < channels; ++c) {
      for (size_t p = 0; p < pixels; ++p) {
        const size_t source = (b * channels + c) * pixels + p;
        const size_t target = (b * pixels + p) * channels + c;
        std::memcpy(to.values.data() + target * size, from.values.data() + source * size, size);
      }
    }
  }
}

// An input that is bound channels first, and the memory that the model reads.
struct Transposed {
  const Tensor* from;
  std::unique_ptr<Tensor> to;
};

class LiteRt final : public Backend {
 public:
  std::optional<int64_t> prepare(const Options& options) override {
    if (std::string(KIT_RUNTIME_VERSION) != kLiteRtVersion) {
      throw std::runtime_error("this runner was built with LiteRT " KIT_RUNTIME_VERSION
                               ", whose C interface kit does not know; it knows that of " +
                               std::string(kLiteRtVersion));
    }
    // Otherwise it searches the device for GPU libraries and loads them.
    const LiteRtSetting settings[] = {
        {kLiteRtRegisteredAccelerators, {.value = kLiteRtCpu}},
        {kLiteRtMinLogSeverity, {.value = kLiteRtLogErrors}},
    };
    check(LiteRtCreateEnvironment(std::size(settings), settings, &environment_),
          "create an environment");
    check(LiteRtCreateOptions(&settings_), "create options");
    check(LiteRtSetOptionsHardwareAccelerators(settings_, kLiteRtCpu), "choose the CPU");
    // Components read their options as TOML; without a number, XNNPACK takes one thread.
    set("xnnpack", "num_threads = " + std::to_string(options.threads) + "\n");
    if (!options.profile.empty()) set("runtime_options_string", "enable_profiling = true\n");
    return std::nullopt;
  }

  void load(const std::string& model) override {
    const auto [content, bytes] = map(model);
    check(LiteRtCreateModelFromBuffer(environment_, content, bytes, &model_), "read the file");
    LiteRtSubgraph* graph = find_graph();
    size_t inputs = 0, outputs = 0;
    check(LiteRtGetNumSubgraphInputs(graph, &inputs), "count inputs");
    check(LiteRtGetNumSubgraphOutputs(graph, &outputs), "count outputs");
    for (size_t i = 0; i < inputs; ++i) {
      LiteRtTensor* tensor = nullptr;
      check(LiteRtGetSubgraphInput(graph, i, &tensor), "find an input");
      check(LiteRtGetRankedTensorType(tensor, &input_types_.emplace_back()), "describe an input");
    }
    check(LiteRtCreateCompiledModel(environment_, model_, settings_, &compiled_), "load the model");
    for (size_t i = 0; i < outputs; ++i) {
      LiteRtTensor* tensor = nullptr;
      LiteRtTensorType type{};
      check(LiteRtGetSubgraphOutput(graph, i, &tensor), "find an output");
      check(LiteRtGetRankedTensorType(tensor, &type), "describe an output");
      output_types_.push_back(type);
      answers_.emplace_back(spec_of(type));
    }
    for (size_t i = 0; i < outputs; ++i) outputs_.push_back(wrap(answers_[i], output_types_[i]));
  }

  // The model computes in the memory of the tensors, so nothing is copied while it is timed. An
  // input that the file takes channels last has separate memory, which `renew` fills.
  void bind(std::vector<Tensor>& inputs) override {
    if (inputs.size() != input_types_.size()) {
      throw std::runtime_error("the model takes " + std::to_string(input_types_.size()) +
                               " inputs, not " + std::to_string(inputs.size()));
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool moved = is_channels_last(i);
      const TensorSpec own = spec_of(input_types_[i]), wanted = moved ? channels_first(own) : own;
      if (wanted.dtype != inputs[i].spec.dtype || wanted.shape != inputs[i].spec.shape) {
        throw std::runtime_error("the model takes as input " + std::to_string(i) + " " +
                                 format_specs({Tensor(wanted)}) + ", not " +
                                 format_specs({Tensor(inputs[i].spec)}));
      }
      if (moved) transposed_.push_back({&inputs[i], std::make_unique<Tensor>(own)});
      inputs_.push_back(wrap(moved ? *transposed_.back().to : inputs[i], input_types_[i]));
    }
    renew();
  }

  void renew() override {
    for (Transposed& one : transposed_) transpose(*one.from, *one.to);
  }

  void run() override {
    check(LiteRtRunCompiledModel(compiled_, 0, inputs_.size(), inputs_.data(), outputs_.size(),
                                 outputs_.data()),
          "run the model");
  }

  std::vector<Tensor> answer() override { return answers_; }

  void begin_profile() override {
    check(LiteRtCompiledModelGetProfiler(compiled_, &profiler_), "profile the model");
    check(LiteRtResetProfiler(profiler_), "reset its profiler");
    check(LiteRtStartProfiler(profiler_), "start its profiler");
  }

  void write_profile(const std::string& path) override {
    check(LiteRtStopProfiler(profiler_), "stop its profiler");
    int count = 0;
    check(LiteRtGetNumProfilerEvents(profiler_, &count), "count what it recorded");
    std::vector<LiteRtEvent> events(static_cast<size_t>(count));
    check(LiteRtGetProfilerEvents(profiler_, count, events.data()), "read what it recorded");
    const std::vector<Entry> entries = sum(events);
    if (entries.empty()) throw std::runtime_error("LiteRT recorded no operator");
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (!file) throw std::runtime_error(with_errno("cannot write " + path));
    bool whole = true;
    for (size_t i = 0; i < entries.size(); ++i) {
      whole &= std::fprintf(file, "{\"index\":%zu,\"name\":%s,\"calls\":%lld,\"ns\":%lld}\n", i,
                            quoted(entries[i].name).c_str(),
                            static_cast<long long>(entries[i].calls),
                            static_cast<long long>(entries[i].ns)) > 0;
    }
    if (std::fclose(file) != 0 || !whole) {
      throw std::runtime_error(with_errno("cannot write " + path));
    }
  }

 private:
  struct Entry {
    std::string name;
    int64_t calls = 0;
    int64_t ns = 0;
  };

  // Adds up the times of each operator, by its place in an inference: each part of a model that a
  // delegate computes numbers its operators from 0.
  static std::vector<Entry> sum(const std::vector<LiteRtEvent>& events) {
    std::vector<Entry> entries;
    std::optional<size_t> place;  // none before the first whole inference that is recorded
    for (const LiteRtEvent& event : events) {
      const std::string name = event.tag ? event.tag : "";
      if (name == kLiteRtFirstEvent) place = 0;
      if (!place || !(event.type & kLiteRtOperatorEvents)) continue;
      if (*place == entries.size()) entries.push_back({name});
      Entry& entry = entries[(*place)++];
      entry.calls += 1;
      entry.ns += static_cast<int64_t>(event.elapsed_us) * 1000;
    }
    return entries;
  }

  void set(const char* component, const std::string& text) {
    LiteRtOpaque* options = nullptr;
    check(LiteRtCreateOpaqueOptions(component, strdup(text.c_str()), std::free, &options),
          "create options");
    check(LiteRtAddOpaqueOptions(settings_, options), "take options");
  }

  // Returns the graph of the first signature, which is what is run; without one, the first graph.
  LiteRtSubgraph* find_graph() {
    size_t count = 0;
    LiteRtSubgraph* graph = nullptr;
    check(LiteRtGetNumModelSignatures(model_, &count), "count signatures");
    if (count == 0) {
      check(LiteRtGetModelSubgraph(model_, 0, &graph), "find a graph");
      return graph;
    }
    LiteRtSignature* signature = nullptr;
    check(LiteRtGetModelSignature(model_, 0, &signature), "find a signature");
    check(LiteRtGetSignatureSubgraph(signature, &graph), "find a graph");
    return graph;
  }

  // See kit/formats/litert/channels_last.py.
  bool is_channels_last(size_t input) const {
    const void* content = nullptr;
    size_t count = 0;
    if (LiteRtGetModelMetadata(model_, "kit_channels_last", &content, &count) != 0) return false;
    return input_types_[input].rank == 4 && std::memchr(content, static_cast<int>(input), count);
  }

  static LiteRtBuffer* wrap(Tensor& tensor, const LiteRtTensorType& type) {
    LiteRtBuffer* buffer = nullptr;
    check(LiteRtCreateTensorBufferFromHostMemory(&type, tensor.values.data(), tensor.values.size(),
                                                 nullptr, &buffer),
          "use memory for a tensor");
    return buffer;
  }

  LiteRtEnv* environment_ = nullptr;
  LiteRtOptions* settings_ = nullptr;
  LiteRtModel* model_ = nullptr;
  LiteRtCompiled* compiled_ = nullptr;
  LiteRtProfiler* profiler_ = nullptr;
  std::vector<LiteRtTensorType> input_types_;
  std::vector<LiteRtTensorType> output_types_;
  std::vector<LiteRtBuffer*> inputs_;
  std::vector<LiteRtBuffer*> outputs_;
  std::vector<Tensor> answers_;
  std::vector<Transposed> transposed_;
};

}  // namespace

const char* const format_name = "litert";
const char* const runtime_name = "ai-edge-litert";
const char* const profile_kind = "litert";
std::unique_ptr<Backend> make_backend() { return std::make_unique<LiteRt>(); }

}  // namespace kit
