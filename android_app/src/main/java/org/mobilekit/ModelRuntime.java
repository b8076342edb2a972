package org.mobilekit;

import java.io.File;

/**
 * One inference library. A new one is a class with a public constructor without arguments, in a
 * source folder of its own, and a line in {@link Runtimes}.
 *
 * <p>The steps are apart so that each can be timed: {@code prepare}, {@code load}, {@code input},
 * {@code run} as often as wanted, {@code output}, {@code close}. All on one thread. What a
 * library throws passes through; callers give it a stage and words.
 */
public interface ModelRuntime extends AutoCloseable {
    /**
     * Brings the library into memory and tells it its threads.
     *
     * @return how many it says it uses, or null if it cannot be asked
     */
    Integer prepare(int threads) throws Exception;

    /** The library's version, or null if it does not tell. */
    String version();

    void load(File model) throws Exception;

    /** Keeps the input for the next runs; {@code shape} is {@code [1, 3, height, width]}. */
    void input(float[] values, long[] shape) throws Exception;

    void run() throws Exception;

    /** Returns the answer of the last run. */
    float[] output() throws Exception;

    /** Frees the model. Never throws, and may be called at any step, and twice. */
    @Override
    void close();
}
