// The command line: every option is required, and every number is validated.
#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <set>
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
  if (!read(text, number) || !std::isfinite(number) || number < 0 || number > kMaxSeconds) {
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

using Setter = std::function<void(Options&, const std::string& name, const std::string& text)>;

Setter text_of(std::string Options::*member) {
  return [member](Options& o, const std::string&, const std::string& text) { o.*member = text; };
}

Setter count_of(int64_t Options::*member, int64_t least, int64_t most) {
  return [=](Options& o, const std::string& name, const std::string& text) {
    o.*member = integer(name, text, least, most);
  };
}

Setter seconds_of(double Options::*member) {
  return [member](Options& o, const std::string& name, const std::string& text) {
    o.*member = seconds(name, text);
  };
}

const std::map<std::string, Setter>& setters() {
  static const std::map<std::string, Setter> all = {
      {"--format", text_of(&Options::format)},
      {"--model", text_of(&Options::model)},
      {"--in", text_of(&Options::input)},
      {"--out", text_of(&Options::out)},
      {"--profile", text_of(&Options::profile)},
      {"--warmup", count_of(&Options::warmup, 0, 1'000'000'000)},
      {"--rows", count_of(&Options::rows, 1, 1'000'000)},
      {"--iters", count_of(&Options::iters, 1, 1'000'000'000)},
      {"--threads", count_of(&Options::threads, 1, 1024)},
      {"--warmup-seconds", seconds_of(&Options::warmup_seconds)},
      {"--min-seconds", seconds_of(&Options::min_seconds)},
      {"--max-seconds", seconds_of(&Options::max_seconds)},
      {"--cpus", [](Options& o, const std::string& name, const std::string& text) {
         o.cpus = mask(name, text);
       }},
      {"--inputs", [](Options& o, const std::string& name, const std::string& text) {
         o.inputs = specs(name, text);
       }}};
  return all;
}

}  // namespace

size_t Options::bytes() const {
  size_t sum = 0;
  for (const TensorSpec& spec : inputs) sum += spec.bytes();
  return sum;
}

Options parse(int count, char** words) {
  Options options;
  std::set<std::string> given;
  for (int i = 1; i < count; i += 2) {
    const std::string name = words[i];
    const auto setter = setters().find(name);
    if (setter == setters().end()) throw std::invalid_argument("unrecognized option: " + name);
    if (i + 1 == count) throw std::invalid_argument(name + " lacks its value");
    setter->second(options, name, words[i + 1]);
    given.insert(name);
  }
  for (const auto& [name, setter] : setters()) {
    if (!given.count(name)) throw std::invalid_argument(name + " is required");
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
