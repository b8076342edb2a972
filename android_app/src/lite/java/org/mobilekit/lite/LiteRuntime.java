package org.mobilekit.lite;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.mobilekit.DType;
import org.mobilekit.KitException;
import org.mobilekit.Tensor;
import org.mobilekit.TorchRuntime;
import org.pytorch.IValue;
import org.pytorch.LiteModuleLoader;
import org.pytorch.Module;
import org.pytorch.PyTorchAndroid;

/** PyTorch's Lite Interpreter; int8 models use QNNPACK. */
public final class LiteRuntime extends TorchRuntime<Module, IValue[], IValue> {
    @Override
    public Integer prepare(int threads) {
        PyTorchAndroid.setNumThreads(threads);
        return null; // the API has no getter
    }

    @Override
    public boolean supports(DType dtype) {
        return dtype != DType.FLOAT16 && dtype != DType.BOOL;
    }

    @Override
    public void load(File model) {
        module = LiteModuleLoader.load(model.getPath());
    }

    @Override
    protected IValue[] bind(List<Tensor> inputs) throws KitException {
        IValue[] values = new IValue[inputs.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = IValue.from(tensor(inputs.get(i)));
        }
        return values;
    }

    private static org.pytorch.Tensor tensor(Tensor input) throws KitException {
        ByteBuffer data = input.data();
        switch (input.dtype) {
            case FLOAT32:
                return org.pytorch.Tensor.fromBlob(data.asFloatBuffer(), input.shape());
            case INT64:
                return org.pytorch.Tensor.fromBlob(data.asLongBuffer(), input.shape());
            case INT32:
                return org.pytorch.Tensor.fromBlob(data.asIntBuffer(), input.shape());
            case UINT8:
                return org.pytorch.Tensor.fromBlobUnsigned(data, input.shape());
            default:
                throw unsupported(input.dtype.label);
        }
    }

    @Override
    protected IValue forward(Module module, IValue[] values) {
        return module.forward(values);
    }

    @Override
    protected List<Tensor> read(IValue result) throws KitException {
        List<Tensor> outputs = new ArrayList<>();
        if (result.isTensor()) {
            outputs.add(copy(result.toTensor()));
        } else if (result.isTensorList()) {
            for (org.pytorch.Tensor output : result.toTensorList()) {
                outputs.add(copy(output));
            }
        } else {
            for (IValue output : result.toTuple()) {
                outputs.add(copy(output.toTensor()));
            }
        }
        return outputs;
    }

    private static Tensor copy(org.pytorch.Tensor output) throws KitException {
        switch (output.dtype()) {
            case FLOAT32:
                return Tensor.of(output.getDataAsFloatArray(), output.shape());
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
        return new KitException("PyTorch Lite for Android does not support tensors of the"
                + " type " + type);
    }

    @Override
    protected void destroy(Module module) {
        module.destroy();
    }
}
