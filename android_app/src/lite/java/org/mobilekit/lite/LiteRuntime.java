package org.mobilekit.lite;

import java.io.File;
import org.mobilekit.TorchRuntime;
import org.pytorch.IValue;
import org.pytorch.LiteModuleLoader;
import org.pytorch.Module;
import org.pytorch.PyTorchAndroid;
import org.pytorch.Tensor;

/** PyTorch's Lite Interpreter; int8 models run on qnnpack. */
public final class LiteRuntime extends TorchRuntime<Module, IValue> {
    @Override
    public Integer prepare(int threads) {
        PyTorchAndroid.setNumThreads(threads);
        return null; // there is no getter
    }

    @Override
    public void load(File model) {
        module = LiteModuleLoader.load(model.getPath());
    }

    @Override
    protected IValue value(float[] values, long[] shape) {
        return IValue.from(Tensor.fromBlob(values, shape));
    }

    @Override
    protected IValue forward(Module module, IValue input) {
        return module.forward(input);
    }

    @Override
    protected float[] numbers(IValue result) {
        return result.toTensor().getDataAsFloatArray();
    }

    @Override
    protected void destroy(Module module) {
        module.destroy();
    }
}
