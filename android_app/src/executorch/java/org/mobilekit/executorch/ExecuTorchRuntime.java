package org.mobilekit.executorch;

import java.io.File;
import org.mobilekit.TorchRuntime;
import org.pytorch.executorch.EValue;
import org.pytorch.executorch.Module;
import org.pytorch.executorch.Tensor;

/** ExecuTorch; most of a model runs on XNNPACK. */
public final class ExecuTorchRuntime extends TorchRuntime<Module, EValue> {
    private int threads = 1;

    @Override
    public Integer prepare(int threads) throws ClassNotFoundException {
        this.threads = threads;
        Class.forName("org.pytorch.executorch.Module"); // loads the native library
        return null;
    }

    @Override
    public void load(File model) {
        module = Module.load(model.getPath(), Module.LOAD_MODE_MMAP, threads);
        module.loadMethod("forward"); // throws what it thinks of the model
    }

    @Override
    protected EValue value(float[] values, long[] shape) {
        return EValue.from(Tensor.fromBlob(values, shape));
    }

    @Override
    protected EValue forward(Module module, EValue input) {
        return module.forward(input)[0];
    }

    @Override
    protected float[] numbers(EValue result) {
        return result.toTensor().getDataAsFloatArray();
    }

    @Override
    protected void destroy(Module module) {
        module.destroy();
    }
}
