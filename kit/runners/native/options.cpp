// The command line: every option is required, and every number is validated.
#include <charconv>
#include <iterator>
#include <stdexcept>

#include "runner.h"

namespace kit {
namespace {

constexpr size_t kMaxBytes = size_t{4} << 30;
constexpr double kMaxSeconds = 1e9;  // in nanoseconds it still fits into 64 bits

[[noreturn]] void refuse(const std::string& name, const std::string& text, const char* wanted) {
  throw std::invalid_argument(name + " is " + wanted + ", not '" + text + "'");
}

template <class Number>
bool read(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto found = std::from_chars(text.data(), end, number);
  return found.ec == std::errc() && found.ptr == end;
}

int64_t integer(const std::string& name, const std::string& text, int64_t least, int64_t most) {
  int64_t number = 0;
  if (!read(text, number) || number < least || number > most) {
    const std::string wanted =
        "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    refuse(name, text, wanted.c_str());
  }
  return number;
}

double seconds(const std::string& name, const std::string& text) {
  double number = 0;
  if (!read(text, number) || !(number >= 0 && number <= kMaxSeconds)) {  // a NaN fails both
    refuse(name, text, "seconds, 0 or more");
  }
  return number;
}

std::vector<TensorSpec> specs(const std::string& name, const std::string& text) {
  try {
    return parse_specs(text);
  } catch (const std::invalid_argument& fault) {
    refuse(name, text, fault.what());
  }
}

std::string mask(const std::string& name, const std::string& text) {
  const bool hexadecimal = text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  const bool none = !text.empty() && text.find_first_not_of('0') == std::string::npos;
  if (!hexadecimal || none || text.size() > 256) {
    refuse(name, text, "a mask of cores in up to 256 hexadecimal digits");
  }
  return text;
}

struct Option {
  const char* name;
  void (*set)(Options& options, const std::string& name, const std::string& text);
};

template <std::string Options::*member>
void set_text(Options& options, const std::string&, const std::string& text) {
  options.*member = text;
}

template <int64_t Options::*member, int64_t least, int64_t most>
void set_count(Options& options, const std::string& name, const std::string& text) {
  options.*member = integer(name, text, least, most);
}

template <double Options::*member>
void set_seconds(Options& options, const std::string& name, const std::string& text) {
  options.*member = seconds(name, text);
}

void set_cpus(Options& options, const std::string& name, const std::string& text) {
  options.cpus = mask(name, text);
}

void set_inputs(Options& options, const std::string& name, const std::string& text) {
  options.inputs = specs(name, text);
}

// Pointers to functions: std::function and std::map take longer to compile than all the rest.
constexpr Option kOptions[] = {
    {"--cpus", set_cpus},
    {"--format", set_text<&Options::format>},
    {"--in", set_text<&Options::input>},
    {"--inputs", set_inputs},
    {"--iters", set_count<&Options::iters, 1, 1'000'000'000>},
    {"--max-seconds", set_seconds<&Options::max_seconds>},
    {"--min-seconds", set_seconds<&Options::min_seconds>},
    {"--model", set_text<&Options::model>},
    {"--out", set_text<&Options::out>},
    {"--profile", set_text<&Options::profile>},
    {"--rows", set_count<&Options::rows, 1, 1'000'000>},
    {"--threads", set_count<&Options::threads, 1, 1024>},
    {"--warmup", set_count<&Options::warmup, 0, 1'000'000'000>},
    {"--warmup-seconds", set_seconds<&Options::warmup_seconds>}};
constexpr size_t kCount = std::size(kOptions);

size_t find(const std::string& name) {
  for (size_t i = 0; i < kCount; ++i) {
    if (name == kOptions[i].name) return i;
  }
  throw std::invalid_argument("unrecognized option: " + name);
}

}  // namespace

size_t Options::bytes() const {
  size_t sum = 0;
  for (const TensorSpec& spec : inputs) sum += spec.bytes();
  return sum;
}

Options parse(int count, char** words) {
  Options options;
  bool given[kCount] = {};
  for (int i = 1; i < count; i += 2) {
    const std::string name = words[i];
    const size_t at = find(name);
    if (i + 1 == count) throw std::invalid_argument(name + " lacks its value");
    kOptions[at].set(options, name, words[i + 1]);
    given[at] = true;
  }
  for (size_t i = 0; i < kCount; ++i) {
    if (!given[i]) throw std::invalid_argument(std::string(kOptions[i].name) + " is required");
  }
  if (options.bytes() > kMaxBytes / static_cast<size_t>(options.rows)) {
    refuse("--rows", std::to_string(options.rows), "fewer inputs of this shape");
  }
  if (options.format != format_name) {
    refuse("--format", options.format, (std::string(format_name) + " in this runner").c_str());
  }
  return options;
}

}  // namespace kit
