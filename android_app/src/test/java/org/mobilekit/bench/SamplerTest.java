package org.mobilekit.bench;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;

import org.junit.Test;

/** Tests the plan with a clock that advances by the duration of each inference. */
public final class SamplerTest {
    private static final long SECOND = 1_000_000_000L;

    private long now = 5;
    private int calls;

    private Sampler run(Plan plan, long ns) throws Exception {
        Sampler sampler = new Sampler(plan, () -> now);
        Sampler.Call call = () -> {
            calls++;
            now += ns;
        };
        sampler.warmUp(call);
        sampler.measure(call, count -> { });
        return sampler;
    }

    @Test
    public void runsUntilTheCountsAreReached() throws Exception {
        Sampler sampler = run(new Plan(3, 0.001, 4, 0.001, 60), SECOND);
        assertEquals(SECOND, sampler.firstNs);
        assertEquals(3, sampler.warmupCount);
        assertEquals(3 * SECOND, sampler.warmupNs);
        assertArrayEquals(new long[] {SECOND, SECOND, SECOND, SECOND}, sampler.samples());
        assertEquals(1 + 3 + 4, calls);
    }

    @Test
    public void runsUntilTheTimesAreReached() throws Exception {
        Sampler sampler = run(new Plan(1, 2, 1, 3, 60), SECOND / 2);
        assertEquals(4, sampler.warmupCount);
        assertEquals(6, sampler.samples().length);
    }

    @Test
    public void stopsAtTheMaximumTime() throws Exception {
        assertEquals(10, run(new Plan(0, 0, 1_000_000, 0, 10), SECOND).samples().length);
    }

    @Test
    public void recordsOneSampleOrMore() throws Exception {
        assertEquals(1, run(new Plan(0, 0, 5, 0, 0.1), 60 * SECOND).samples().length);
    }

    @Test
    public void recordsManySamples() throws Exception {
        long[] samples = run(new Plan(0, 0, 100_000, 0, 3600), 1000).samples();
        assertEquals(100_000, samples.length);
        for (long sample : samples) {
            assertEquals(1000, sample);
        }
    }
}
