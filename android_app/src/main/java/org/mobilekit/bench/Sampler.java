package org.mobilekit.bench;

import java.util.Arrays;
import java.util.function.LongSupplier;

/** Runs inferences according to a plan and records their durations in nanoseconds. */
final class Sampler {
    private static final long PROGRESS_NS = 2_000_000_000L;

    /** One inference. */
    interface Call {
        void run() throws Exception;
    }

    /** Receives the number of samples about every two seconds. */
    interface ProgressListener {
        void onSamples(int count);
    }

    long firstNs;
    int warmupCount;
    long warmupNs;
    private long[] samples = new long[4096];
    private int count;
    private final Plan plan;
    private final LongSupplier clock;

    Sampler(Plan plan, LongSupplier clock) {
        this.plan = plan;
        this.clock = clock;
    }

    long[] samples() {
        return Arrays.copyOf(samples, count);
    }

    /** Runs the first inference and the warm-up. */
    void warmUp(Call call) throws Exception {
        long beginning = clock.getAsLong();
        call.run();
        firstNs = clock.getAsLong() - beginning;
        beginning = clock.getAsLong();
        while (warmupCount < plan.warmup || clock.getAsLong() - beginning < plan.warmupNs) {
            call.run();
            warmupCount++;
        }
        warmupNs = clock.getAsLong() - beginning;
    }

    /** Records the samples: one or more, whatever the plan. */
    void measure(Call call, ProgressListener listener) throws Exception {
        long beginning = clock.getAsLong();
        long now = beginning;
        long lastReport = beginning;
        while ((count < plan.iters || now - beginning < plan.minNs)
                && (now - beginning < plan.maxNs || count == 0)) {
            long start = clock.getAsLong();
            call.run();
            now = clock.getAsLong();
            add(now - start);
            if (now - lastReport > PROGRESS_NS) { // outside of the timed section
                listener.onSamples(count);
                lastReport = clock.getAsLong();
            }
        }
    }

    private void add(long ns) {
        if (count == samples.length) {
            samples = Arrays.copyOf(samples, count * 2);
        }
        samples[count] = Math.max(ns, 1); // the protocol does not allow 0 ns
        count++;
    }
}
