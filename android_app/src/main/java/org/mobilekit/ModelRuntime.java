package org.mobilekit;

import java.io.File;
import java.util.List;

/**
 * One inference library. A new one is a class with a public constructor without arguments, in a
 * source folder of its own, and a line in {@link Runtimes}.
 *
 * <p>The steps are apart so that each can be timed: {@code prepare}, {@code load}, {@code inputs},
 * {@code run} as often as wanted, {@code outputs}, {@code close}. All on one thread. What a
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

    /** Whether the library's Java classes have tensors of a type; its native code may have more. */
    boolean has(DType dtype);

    void load(File model) throws Exception;

    /** Keeps the inputs for the next runs, in the order of the model's. */
    void inputs(List<Tensor> values) throws Exception;

    void run() throws Exception;

    /** Returns the answers of the last run, in the order of the model's outputs. */
    List<Tensor> outputs() throws Exception;

    /** Frees the model. Never throws, and may be called at any step, and twice. */
    @Override
    void close();
}
