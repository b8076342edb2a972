// The native runner: runs a model file and prints JSON lines. kit/runners/protocol.py defines
// the protocol and has its history; kit/runners/python.py implements it in Python.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "events.h"
#include "runner.h"
#include "system.h"

namespace kit {
namespace {

constexpr int kProtocol = 4;
constexpr int64_t kFlushNs = 2'000'000'000;

struct Failure {
  Stage stage;
  std::string message;
};

// Maps every exception to a failure of a stage.
template <class Work>
auto in(Stage stage, Work work) {
  try {
    return work();
  } catch (const std::exception& fault) {
    throw Failure{stage, fault.what()};
  } catch (const Failure&) {
    throw;
  } catch (...) {
    throw Failure{stage, "the runtime threw something that is no std::exception"};
  }
}

// Returns the values of all inputs in the file, inference by inference.
std::vector<uint8_t> read_inputs(const Options& options) {
  std::vector<uint8_t> values(options.bytes() * static_cast<size_t>(options.rows));
  const auto bytes = static_cast<std::streamsize>(values.size());
  std::ifstream file(options.input, std::ios::binary);
  if (!file) throw std::runtime_error(with_errno("cannot read " + options.input));
  file.read(reinterpret_cast<char*>(values.data()), bytes);
  if (file.gcount() != bytes || file.peek() != std::ifstream::traits_type::eof()) {
    throw std::runtime_error("cannot use " + options.input + ": it does not have the " +
                             std::to_string(bytes) + " bytes of --inputs and --rows");
  }
  return values;
}

// Writes the inputs of one inference into the tensors of all.
void fill(std::vector<Tensor>& bound, const uint8_t* values) {
  for (Tensor& tensor : bound) {
    std::copy_n(values, tensor.values.size(), tensor.values.begin());
    values += tensor.values.size();
  }
}

void append(std::vector<uint8_t>& values, const std::vector<Tensor>& tensors) {
  for (const Tensor& tensor : tensors) {
    values.insert(values.end(), tensor.values.begin(), tensor.values.end());
  }
}

struct Answers {
  std::string specs;
  std::vector<uint8_t> values;
};

// Returns the answers to all inputs in order. The first input has been run already.
Answers answer_all(Backend& backend, const std::vector<uint8_t>& inputs,
                   std::vector<Tensor>& bound, size_t bytes) {
  std::vector<Tensor> outputs = backend.answer();
  Answers answers{format_specs(outputs), {}};
  append(answers.values, outputs);
  if (answers.values.empty()) throw std::runtime_error("the model's output is empty");
  for (size_t begin = bytes; begin < inputs.size(); begin += bytes) {
    fill(bound, inputs.data() + begin);
    backend.renew();
    backend.run();
    outputs = backend.answer();
    if (format_specs(outputs) != answers.specs) {
      throw std::runtime_error("the model's outputs change their shapes");
    }
    append(answers.values, outputs);
  }
  return answers;
}

void write_answers(const std::string& path, const std::vector<uint8_t>& values) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file) throw std::runtime_error(with_errno("cannot write " + path));
  const bool whole = std::fwrite(values.data(), 1, values.size(), file) == values.size();
  if (std::fclose(file) != 0 || !whole) throw std::runtime_error(with_errno("cannot write " + path));
}

Event start_event(const Options& options, std::optional<int64_t> obeyed) {
  const std::string versions = "{" + quoted("kit") + ":" + quoted(KIT_VERSION) + "," +
                               quoted("runner") + ":" + quoted(KIT_RUNNER) + "," +
                               quoted(runtime_name) + ":" + quoted(KIT_RUNTIME_VERSION) + "}";
  return Event("start")
      .number("protocol", kProtocol)
      .number("pid", getpid())
      .number("threads", options.threads)
      .number("obeyed", obeyed)
      .raw("versions", versions)
      .text("cpus", cpus_in_use())
      .number("page", page_bytes())
      .text("clock", kClockName);
}

int64_t timed(Backend& backend) {
  const int64_t began = now_ns();
  backend.run();
  return std::max<int64_t>(1, now_ns() - began);
}

void warm_up(Backend& backend, const Options& options, const Lines& lines) {
  lines.emit(Event("first").number("ns", timed(backend)));
  const int64_t began = now_ns();
  const auto min_ns = static_cast<int64_t>(options.warmup_seconds * 1e9);
  int64_t count = 0;
  for (; count < options.warmup || now_ns() - began < min_ns; ++count) backend.run();
  lines.emit(Event("warm").number("count", count).number("ns", now_ns() - began));
}

// Takes the samples and returns their number; lines are written outside the timed sections.
int64_t sample(Backend& backend, const Options& options, const Lines& lines) {
  const auto min_ns = static_cast<int64_t>(options.min_seconds * 1e9);
  const auto max_ns = static_cast<int64_t>(options.max_seconds * 1e9);
  std::vector<int64_t> samples;
  int64_t count = 0;
  stop_if_orphaned();
  const int64_t began = now_ns();
  int64_t now = began, flushed = began;
  while ((count < options.iters || now - began < min_ns) && (now - began < max_ns || count == 0)) {
    samples.push_back(timed(backend));
    ++count;
    now = now_ns();
    if (now - flushed > kFlushNs) {
      lines.emit(Event("iter").numbers("ns", samples));
      samples.clear();
      flushed = now_ns();
      stop_if_orphaned();
    }
  }
  if (!samples.empty()) lines.emit(Event("iter").numbers("ns", samples));
  return count;
}

std::unique_ptr<Backend> load(const Options& options, const Lines& lines) {
  auto backend = make_backend();
  const auto obeyed = in(Stage::load, [&] { return backend->prepare(options); });
  lines.emit(start_event(options, obeyed));
  return backend;
}

void measure(const Options& options, const Lines& lines) {
  const auto backend = load(options, lines);
  const auto base = forget_peak();
  in(Stage::load, [&] {
    const int64_t began = now_ns();
    backend->load(options.model);
    lines.emit(Event("load").number("ns", now_ns() - began));
  });
  const auto inputs = in(Stage::input, [&] { return read_inputs(options); });
  std::vector<Tensor> bound(options.inputs.begin(), options.inputs.end());
  fill(bound, inputs.data());
  in(Stage::input, [&] { backend->bind(bound); });
  in(Stage::run, [&] { warm_up(*backend, options, lines); });
  const bool profiled = !options.profile.empty();
  if (profiled) in(Stage::profile, [&] { backend->begin_profile(); });
  const int64_t cpu = cpu_ns();
  const auto count = in(Stage::run, [&] { return sample(*backend, options, lines); });
  const int64_t spent = cpu_ns() - cpu;
  lines.emit(Event("mem")
                .number("peak_rss", status_bytes("VmHWM"))
                .number("base_rss", base)
                .number("os_threads", status_count("Threads")));
  const auto answers = in(Stage::run, [&] { return answer_all(*backend, inputs, bound, options.bytes()); });
  in(Stage::output, [&] { write_answers(options.out, answers.values); });
  lines.emit(Event("out").text("path", options.out).text("tensors", answers.specs));
  if (profiled) {
    in(Stage::profile, [&] { backend->write_profile(options.profile); });
    lines.emit(Event("profile").text("path", options.profile).text("kind", profile_kind));
  }
  lines.emit(Event("end").number("count", count).number("cpu_ns", spent));
}

int run(int count, char** words) {
  const Lines lines;
  try {
    const auto options = in(Stage::usage, [&] { return parse(count, words); });
    if (!options.cpus.empty()) in(Stage::affinity, [&] { use_cpus(options.cpus); });
    measure(options, lines);
  } catch (const Failure& fault) {
    lines.emit(Event("error").text("at", name_of(fault.stage)).text("msg", fault.message));
    return static_cast<int>(fault.stage);
  }
  return 0;
}

}  // namespace
}  // namespace kit

int main(int count, char** words) {
  _exit(kit::run(count, words));  // without destructors: some runtimes hang or crash in theirs
}
