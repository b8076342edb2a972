package org.mobilekit.lite;

import java.io.File;
import org.mobilekit.ModelRuntime;
import org.pytorch.IValue;
import org.pytorch.LiteModuleLoader;
import org.pytorch.Module;
import org.pytorch.PyTorchAndroid;
import org.pytorch.Tensor;

/** PyTorch's Lite Interpreter; int8 models run on qnnpack. */
public final class LiteRuntime implements ModelRuntime {
    private Module module;
    private IValue input;
    private IValue result;

    @Override
    public Integer prepare(int threads) {
        PyTorchAndroid.setNumThreads(threads);
        return null; // there is no getter
    }

    @Override
    public String version() {
        return null;
    }

    @Override
    public void load(File model) {
        module = LiteModuleLoader.load(model.getPath());
    }

    @Override
    public void input(float[] values, long[] shape) {
        input = IValue.from(Tensor.fromBlob(values, shape));
    }

    @Override
    public void run() {
        result = module.forward(input);
    }

    @Override
    public float[] output() {
        return result.toTensor().getDataAsFloatArray();
    }

    @Override
    public void close() {
        if (module != null) {
            module.destroy();
        }
        module = null;
        input = null;
        result = null;
    }
}
