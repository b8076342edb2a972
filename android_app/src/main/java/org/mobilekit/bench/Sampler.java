package org.mobilekit.bench;

import java.util.Arrays;
import java.util.function.LongSupplier;

/** Runs an inference as the plan says and keeps every time, in nanoseconds. */
final class Sampler {
    private static final long PROGRESS_NS = 2_000_000_000L;

    /** One inference. */
    interface Call {
        void run() throws Exception;
    }

    /** Hears about every two seconds how many samples there are. */
    interface Progress {
        void samples(int count);
    }

    long firstNs;
    int warmed;
    long warmNs;
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

    /** The first inference and the warm-up. */
    void warmUp(Call call) throws Exception {
        long began = clock.getAsLong();
        call.run();
        firstNs = clock.getAsLong() - began;
        began = clock.getAsLong();
        while (warmed < plan.warmup || clock.getAsLong() - began < plan.warmupNs) {
            call.run();
            warmed++;
        }
        warmNs = clock.getAsLong() - began;
    }

    /** The samples; at least one, whatever the plan says. */
    void measure(Call call, Progress progress) throws Exception {
        long began = clock.getAsLong();
        long now = began;
        long told = began;
        while ((count < plan.iters || now - began < plan.leastNs)
                && (now - began < plan.mostNs || count == 0)) {
            long start = clock.getAsLong();
            call.run();
            now = clock.getAsLong();
            keep(now - start);
            if (now - told > PROGRESS_NS) { // outside of the span that is timed
                progress.samples(count);
                told = clock.getAsLong();
            }
        }
    }

    private void keep(long ns) {
        if (count == samples.length) {
            samples = Arrays.copyOf(samples, count * 2);
        }
        samples[count] = Math.max(ns, 1); // the protocol knows no sample of 0 ns
        count++;
    }
}
