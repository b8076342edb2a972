#include "system.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace kit {
namespace {

constexpr const char* kParent = "KIT_RUNNER_PARENT";  // see kit/devices/local.py
constexpr size_t kDigits = CPU_SETSIZE / 4;

int64_t read_clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

int digit(char letter) { return letter <= '9' ? letter - '0' : (letter | 0x20) - 'a' + 10; }

}  // namespace

int64_t now_ns() { return read_clock(CLOCK_MONOTONIC_RAW); }

int64_t cpu_ns() { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

int64_t page_bytes() { return sysconf(_SC_PAGESIZE); }

std::string with_errno(const std::string& message) {
  return message + ": " + std::strerror(errno);
}

void use_cpus(const std::string& mask) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (size_t i = 0; i < mask.size() && i < kDigits; ++i) {
    const int bits = digit(mask[mask.size() - 1 - i]);
    for (size_t bit = 0; bit < 4; ++bit) {
      if (bits >> bit & 1) CPU_SET(4 * i + bit, &cores);
    }
  }
  if (sched_setaffinity(0, sizeof cores, &cores) != 0) {
    throw std::runtime_error(with_errno("the kernel refuses the cores " + mask));
  }
}

std::string cpus_in_use() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  std::string mask;
  for (size_t i = kDigits; i-- > 0;) {
    int bits = 0;
    for (size_t bit = 0; bit < 4; ++bit) bits |= CPU_ISSET(4 * i + bit, &cores) ? 1 << bit : 0;
    if (bits || !mask.empty()) mask += "0123456789abcdef"[bits];
  }
  return mask.empty() ? "0" : mask;
}

bool cpuinfo_describes_this_architecture() {
#ifdef __aarch64__
  std::ifstream cpuinfo("/proc/cpuinfo");
  if (!cpuinfo) return true;  // unknown counts as correct
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("CPU architecture", 0) == 0) return true;
  }
  return false;
#else
  return true;
#endif
}

std::optional<int64_t> status_count(const char* key) {
  std::ifstream status("/proc/self/status");
  const std::string start = std::string(key) + ":";
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(start, 0) == 0) return std::atoll(line.c_str() + start.size());
  }
  return std::nullopt;
}

std::optional<int64_t> status_bytes(const char* key) {
  const auto kilobytes = status_count(key);
  return kilobytes ? std::optional(*kilobytes * 1024) : std::nullopt;
}

std::optional<int64_t> forget_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file ? status_bytes("VmRSS") : std::nullopt;
}

void stop_if_orphaned() {
  const char* parent = std::getenv(kParent);
  if (parent && std::atoll(parent) != getppid()) throw std::runtime_error("kit has gone away");
}

}  // namespace kit
