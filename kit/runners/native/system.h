// Functions of the kernel that the runner uses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace kit {

constexpr const char* kClockName = "CLOCK_MONOTONIC_RAW";

int64_t now_ns();      // of kClockName, which is neither set nor slewed by time servers
int64_t cpu_ns();      // of all threads of this process
int64_t page_bytes();

// Sets the cores that this thread and the threads it starts may use: a mask in hexadecimal digits.
// Throws if the kernel rejects it. The kernel silently ignores cores that do not exist.
void use_cpus(const std::string& mask);
std::string cpus_in_use();

// Whether /proc/cpuinfo describes the architecture that this program is compiled for, or cannot be
// read. Under qemu-user before 8.2 it describes the host.
bool cpuinfo_describes_this_architecture();

// A number of /proc/self/status: bytes for sizes.
std::optional<int64_t> status_bytes(const char* key);
std::optional<int64_t> status_count(const char* key);

// Resets the peak of memory and returns the memory in use; nothing if the kernel does not permit
// it. https://docs.kernel.org/filesystems/proc.html, clear_refs
std::optional<int64_t> forget_peak();

// Throws if the kit that started this program has ended: its output has no reader, and it would
// disturb the next measurement. On a device the variable is not set: a runner there outlives its
// connection.
void stop_if_orphaned();

// "message: reason of errno"
std::string with_errno(const std::string& message);

}  // namespace kit
