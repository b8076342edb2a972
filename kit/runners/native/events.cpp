#include "events.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace kit {
namespace {

constexpr size_t kMaxText = 4000;  // a runtime may quote a whole model in its message

// Bytes of the UTF-8 character at a position, 0 if it is invalid: damaged files are quoted too.
size_t letter_at(const std::string& text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (first > 0xf4 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

std::string escaped(char letter) {
  if (letter == '"' || letter == '\\') return {'\\', letter};
  if (letter >= 0x20 && letter != 0x7f) return {letter};
  char code[8];
  std::snprintf(code, sizeof code, "\\u%04x", letter);
  return code;
}

uint32_t crc32(const std::string& text) {
  static const auto table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t byte = 0; byte < made.size(); ++byte) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320u ^ (value >> 1) : value >> 1;
      made[byte] = value;
    }
    return made;
  }();
  uint32_t sum = 0xffffffffu;
  for (const char letter : text) sum = table[(sum ^ static_cast<uint8_t>(letter)) & 0xff] ^ (sum >> 8);
  return ~sum;
}

}  // namespace

std::string quoted(const std::string& whole) {
  const std::string text = whole.substr(0, kMaxText);
  std::string result = "\"";
  for (size_t at = 0, length; at < text.size(); at += std::max<size_t>(length, 1)) {
    length = letter_at(text, at);
    result += length == 0 ? "\\ufffd" : length == 1 ? escaped(text[at]) : text.substr(at, length);
  }
  return result + '"';
}

const char* name_of(Stage stage) {
  static const char* const names[] = {"usage",  "load",     "input",  "run",
                                      "output", "affinity", "profile"};
  return names[static_cast<int>(stage) - static_cast<int>(Stage::usage)];
}

Event::Event(const char* name) : body_("{\"event\":" + quoted(name)) {}

Event& Event::raw(const char* key, const std::string& json) {
  body_ += "," + quoted(key) + ":" + json;
  return *this;
}

Event& Event::text(const char* key, const std::string& value) { return raw(key, quoted(value)); }

Event& Event::number(const char* key, std::optional<int64_t> value) {
  return raw(key, value ? std::to_string(*value) : "null");
}

Event& Event::numbers(const char* key, const std::vector<int64_t>& values) {
  std::string list;
  for (const int64_t value : values) list += (list.empty() ? "" : ",") + std::to_string(value);
  return raw(key, "[" + list + "]");
}

std::string Event::line() const {
  return body_ + ",\"crc\":" + std::to_string(crc32(body_)) + "}\n";
}

Lines::Lines() : descriptor_(dup(STDOUT_FILENO)) { dup2(STDERR_FILENO, STDOUT_FILENO); }

void Lines::emit(const Event& event) const {
  const std::string line = event.line();
  for (size_t done = 0; done < line.size();) {
    const ssize_t written = write(descriptor_, line.data() + done, line.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(static_cast<int>(Stage::output));  // the reader has closed the pipe
    done += static_cast<size_t>(written);
  }
}

}  // namespace kit
