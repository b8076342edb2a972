package org.mobilekit;

/**
 * What PyTorch's two runtimes have in common: a module takes a value and gives another. Their
 * classes have the same names in different packages, and no common parent.
 *
 * @param <M> the module
 * @param <V> a value that goes in or comes out
 */
public abstract class TorchRuntime<M, V> implements ModelRuntime {
    /** Null before {@code load} and after {@code close}. */
    protected M module;

    private V input;
    private V result;

    protected abstract V value(float[] values, long[] shape);

    protected abstract V forward(M module, V input);

    protected abstract float[] numbers(V result);

    protected abstract void destroy(M module);

    @Override
    public String version() {
        return null;
    }

    @Override
    public void input(float[] values, long[] shape) {
        input = value(values, shape);
    }

    @Override
    public void run() {
        result = forward(module, input);
    }

    @Override
    public float[] output() {
        return numbers(result);
    }

    @Override
    public void close() {
        if (module != null) {
            destroy(module);
        }
        module = null;
        input = null;
        result = null;
    }
}
