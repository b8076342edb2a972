// The JSON lines of kit/runners/protocol.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner.h"

namespace kit {

// One JSON object, written key by key.
class Event {
 public:
  explicit Event(const char* name);
  Event& text(const char* key, const std::string& value);
  Event& number(const char* key, std::optional<int64_t> value);
  Event& numbers(const char* key, const std::vector<int64_t>& values);
  Event& raw(const char* key, const std::string& json);
  std::string line() const;

 private:
  std::string body_;
};

std::string quoted(const std::string& text);
const char* name_of(Stage stage);

// Writes events to the stdout that the program was started with. From its construction on, stdout
// leads to stderr, so that output of a runtime cannot break a line of the protocol.
class Lines {
 public:
  Lines();
  void emit(const Event& event) const;

 private:
  int descriptor_;
};

}  // namespace kit
