package org.mobilekit.executorch;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.mobilekit.DType;
import org.mobilekit.KitException;
import org.mobilekit.Tensor;
import org.mobilekit.TorchRuntime;
import org.pytorch.executorch.EValue;
import org.pytorch.executorch.Module;

/** ExecuTorch, with the XNNPACK backend. */
public final class ExecuTorchRuntime extends TorchRuntime<Module, EValue[], EValue[]> {
    private int threads = 1;

    @Override
    public Integer prepare(int threads) throws ClassNotFoundException {
        this.threads = threads;
        Class.forName("org.pytorch.executorch.Module"); // loads the native library
        return null;
    }

    @Override
    public boolean supports(DType dtype) {
        return dtype != DType.BOOL;
    }

    @Override
    public void load(File model) {
        module = Module.load(model.getPath(), Module.LOAD_MODE_MMAP, threads);
        module.loadMethod("forward"); // throws if the model is invalid
    }

    @Override
    protected EValue[] bind(List<Tensor> inputs) throws KitException {
        EValue[] values = new EValue[inputs.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = EValue.from(tensor(inputs.get(i)));
        }
        return values;
    }

    private static org.pytorch.executorch.Tensor tensor(Tensor input) throws KitException {
        ByteBuffer data = input.data();
        long[] shape = input.shape();
        switch (input.dtype) {
            case FLOAT32:
                return org.pytorch.executorch.Tensor.fromBlob(data.asFloatBuffer(), shape);
            case FLOAT16:
                return org.pytorch.executorch.Tensor.fromBlob(data.asShortBuffer(), shape);
            case INT64:
                return org.pytorch.executorch.Tensor.fromBlob(data.asLongBuffer(), shape);
            case INT32:
                return org.pytorch.executorch.Tensor.fromBlob(data.asIntBuffer(), shape);
            case UINT8:
                return org.pytorch.executorch.Tensor.fromBlobUnsigned(data, shape);
            default:
                throw unsupported(input.dtype.label);
        }
    }

    @Override
    protected EValue[] forward(Module module, EValue[] values) {
        return module.forward(values);
    }

    @Override
    protected List<Tensor> read(EValue[] result) throws KitException {
        List<Tensor> outputs = new ArrayList<>();
        for (EValue output : result) {
            outputs.add(copy(output.toTensor()));
        }
        return outputs;
    }

    private static Tensor copy(org.pytorch.executorch.Tensor output) throws KitException {
        switch (output.dtype()) {
            case FLOAT:
                return Tensor.of(output.getDataAsFloatArray(), output.shape());
            case HALF:
                return Tensor.ofHalves(output.getDataAsShortArray(), output.shape());
            case INT64:
                return Tensor.of(output.getDataAsLongArray(), output.shape());
            case INT32:
                return Tensor.of(output.getDataAsIntArray(), output.shape());
            case UINT8:
                return Tensor.of(DType.UINT8,
                        ByteBuffer.wrap(output.getDataAsUnsignedByteArray()), output.shape());
            default:
                throw unsupported(output.dtype().toString());
        }
    }

    private static KitException unsupported(String type) {
        return new KitException("ExecuTorch for Android does not support tensors of the"
                + " type " + type);
    }

    @Override
    protected void destroy(Module module) {
        module.destroy();
    }
}
