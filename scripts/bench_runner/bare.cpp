// The runtime in a bare loop: the same backend and options, without the protocol. The
// samples are printed at the end. Compiled by scripts/bench runner.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "runner.h"
#include "system.h"

int main(int count, char** words) {
  const auto options = kit::parse(count, words);
  if (!options.cpus.empty()) kit::use_cpus(options.cpus);
  const auto backend = kit::make_backend();
  backend->prepare(options);
  backend->load(options.model);
  std::vector<kit::Tensor> inputs(options.inputs.begin(), options.inputs.end());
  std::ifstream file(options.input, std::ios::binary);
  for (kit::Tensor& tensor : inputs) {
    file.read(reinterpret_cast<char*>(tensor.values.data()),
              static_cast<std::streamsize>(tensor.values.size()));
  }
  backend->bind(inputs);
  std::vector<int64_t> samples(static_cast<size_t>(options.iters));
  for (int64_t i = 0; i < options.warmup; ++i) backend->run();
  for (auto& sample : samples) {
    const int64_t began = kit::now_ns();
    backend->run();
    sample = kit::now_ns() - began;
  }
  for (const int64_t sample : samples) std::printf("%lld\n", static_cast<long long>(sample));
  std::fflush(stdout);
  _exit(0);
}
