// What the runner asks of the kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace kit {

constexpr const char* kClockName = "CLOCK_MONOTONIC_RAW";

int64_t now_ns();      // of kClockName, which no one sets and no time server slows
int64_t cpu_ns();      // of all threads of this process
int64_t page_bytes();

// Sets the cores this thread and those it starts may use: a mask in hexadecimal digits.
// Throws where the kernel refuses. Cores that do not exist are left out without a word.
void use_cpus(const std::string& mask);
std::string cpus_in_use();

// Whether /proc/cpuinfo, if it can be read, is that of the architecture this program is
// compiled for. Under qemu-user before 8.2 it is the host's.
bool cpuinfo_describes_this_architecture();

// A number of /proc/self/status: bytes for sizes.
std::optional<int64_t> status_bytes(const char* key);
std::optional<int64_t> status_count(const char* key);

// Lets the peak of memory begin here and returns what is in use; nothing where the kernel
// does not let us. https://docs.kernel.org/filesystems/proc.html, clear_refs
std::optional<int64_t> forget_peak();

// Throws when the kit that started this program has gone: nobody listens, and the next
// measurement would be disturbed. On a device the variable is not set, and a runner there
// outlives its connection.
void stop_if_orphaned();

// "message: reason of errno"
std::string with_errno(const std::string& message);

}  // namespace kit
