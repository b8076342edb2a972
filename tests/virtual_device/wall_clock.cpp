// Preloaded: a time of day that is off by the seconds in the file KIT_WALL_CLOCK, read anew at
// every look. Clocks that nobody can set stay true, and so do deadlines by them.
// The kernel is asked directly: a program may bring any C library.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace {

long seconds_off() {
  const int kept = errno;
  char text[32] = {};
  const char* name = std::getenv("KIT_WALL_CLOCK");
  const int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file >= 0) {
    if (read(file, text, sizeof text - 1) < 0) text[0] = '\0';
    close(file);
  }
  errno = kept;
  return std::atol(text);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const long failed = syscall(SYS_clock_gettime, clock, now);
  if (failed) return static_cast<int>(failed);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += seconds_off();
  return 0;
}

int gettimeofday(timeval* now, void*) noexcept {
  timespec found{};
  clock_gettime(CLOCK_REALTIME, &found);
  if (now) *now = {found.tv_sec, found.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* to) noexcept {
  timespec found{};
  clock_gettime(CLOCK_REALTIME, &found);
  if (to) *to = found.tv_sec;
  return found.tv_sec;
}
}
