package org.mobilekit;

import java.util.List;

/**
 * The common part of PyTorch's two runtimes, whose classes have the same names in different
 * packages and no common superclass.
 *
 * @param <M> type of the module
 * @param <V> type of the inputs
 * @param <R> type of the result
 */
public abstract class TorchRuntime<M, V, R> implements ModelRuntime {
    /** Null before {@code load} and after {@code close}. */
    protected M module;

    private V values;
    private R result;

    protected abstract V bind(List<Tensor> inputs) throws KitException;

    protected abstract R forward(M module, V values);

    protected abstract List<Tensor> read(R result) throws KitException;

    protected abstract void destroy(M module);

    @Override
    public String version() {
        return null;
    }

    @Override
    public void inputs(List<Tensor> inputs) throws KitException {
        values = bind(inputs);
    }

    @Override
    public void run() {
        result = forward(module, values);
    }

    @Override
    public List<Tensor> outputs() throws KitException {
        return read(result);
    }

    @Override
    public void close() {
        if (module != null) {
            destroy(module);
        }
        module = null;
        values = null;
        result = null;
    }
}
