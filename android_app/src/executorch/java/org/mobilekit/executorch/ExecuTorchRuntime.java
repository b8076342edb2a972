package org.mobilekit.executorch;

import java.io.File;
import java.io.IOException;
import org.mobilekit.ModelRuntime;
import org.pytorch.executorch.EValue;
import org.pytorch.executorch.Module;
import org.pytorch.executorch.Tensor;

/** ExecuTorch; most of a model runs on XNNPACK. */
public final class ExecuTorchRuntime implements ModelRuntime {
    private Module module;
    private EValue input;
    private EValue[] result;
    private int threads = 1;

    @Override
    public Integer prepare(int threads) throws ClassNotFoundException {
        this.threads = threads;
        Class.forName("org.pytorch.executorch.Module"); // loads the native library
        return null;
    }

    @Override
    public String version() {
        return null;
    }

    @Override
    public void load(File model) throws IOException {
        module = Module.load(model.getPath(), Module.LOAD_MODE_MMAP, threads);
        int code = module.loadMethod("forward");
        if (code != 0) {
            throw new IOException(
                    "ExecuTorch refuses the model: error 0x" + Integer.toHexString(code));
        }
    }

    @Override
    public void input(float[] values, long[] shape) {
        input = EValue.from(Tensor.fromBlob(values, shape));
    }

    @Override
    public void run() {
        result = module.forward(input);
    }

    @Override
    public float[] output() {
        return result[0].toTensor().getDataAsFloatArray();
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
