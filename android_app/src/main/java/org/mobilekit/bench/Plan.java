package org.mobilekit.bench;

/** Duration of warm-up and measurement: minimum counts and times, which both apply. */
final class Plan {
    final int warmup;
    final long warmupNs;
    final int iters;
    final long minNs;

    /** Stops the measurement even if {@code iters} is not reached. */
    final long maxNs;

    Plan(int warmup, double warmupSeconds, int iters, double minSeconds, double maxSeconds) {
        this.warmup = warmup;
        this.warmupNs = (long) (warmupSeconds * 1e9);
        this.iters = iters;
        this.minNs = (long) (minSeconds * 1e9);
        this.maxNs = (long) (maxSeconds * 1e9);
    }
}
