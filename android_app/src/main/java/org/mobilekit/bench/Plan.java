package org.mobilekit.bench;

/** How long to warm up and to measure: counts and times, and both must be reached. */
final class Plan {
    final int warmup;
    final long warmupNs;
    final int iters;
    final long leastNs;

    /** Ends the samples even if {@code iters} is not reached. */
    final long mostNs;

    Plan(int warmup, double warmupSeconds, int iters, double minSeconds, double maxSeconds) {
        this.warmup = warmup;
        this.warmupNs = (long) (warmupSeconds * 1e9);
        this.iters = iters;
        this.leastNs = (long) (minSeconds * 1e9);
        this.mostNs = (long) (maxSeconds * 1e9);
    }
}
