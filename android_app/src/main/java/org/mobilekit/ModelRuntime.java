package org.mobilekit;

import java.io.File;
import java.util.List;

/**
 * One inference library. To add one, write a class with a public no-argument constructor in its
 * own source folder and add it to {@link Runtimes}.
 *
 * <p>Each step is a method of its own so that it can be timed: {@code prepare}, {@code load},
 * {@code inputs}, {@code run} any number of times, {@code outputs}, {@code close}. All calls come
 * from one thread. Exceptions of the library are propagated; callers add the stage and a message.
 */
public interface ModelRuntime extends AutoCloseable {
    /**
     * Loads the library and sets the number of threads.
     *
     * @return the number of threads in use, or null if the library cannot report it
     */
    Integer prepare(int threads) throws Exception;

    /** Returns the library's version, or null if the library does not report it. */
    String version();

    /** Whether the library's Java API supports tensors of a type; native code may support more. */
    boolean supports(DType dtype);

    void load(File model) throws Exception;

    /** Sets the inputs of the next runs, in the order of the model. */
    void inputs(List<Tensor> values) throws Exception;

    void run() throws Exception;

    /** Returns the outputs of the last run, in the order of the model. */
    List<Tensor> outputs() throws Exception;

    /** Releases the model. Never throws; may be called after any step, and repeatedly. */
    @Override
    void close();
}
