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

/** PyTorch's Lite Interpreter; int8 models run on qnnpack. */
public final class LiteRuntime extends TorchRuntime<Module, IValue[], IValue> {
    @Override
    public Integer prepare(int threads) {
        PyTorchAndroid.setNumThreads(threads);
        return null; // there is no getter
    }

    @Override
    public boolean has(DType dtype) {
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
                throw unknown(input.dtype.label);
        }
    }

    @Override
    protected IValue forward(Module module, IValue[] values) {
        return module.forward(values);
    }

    @Override
    protected List<Tensor> read(IValue result) throws KitException {
        List<Tensor> answers = new ArrayList<>();
        if (result.isTensor()) {
            answers.add(copy(result.toTensor()));
        } else if (result.isTensorList()) {
            for (org.pytorch.Tensor answer : result.toTensorList()) {
                answers.add(copy(answer));
            }
        } else {
            for (IValue answer : result.toTuple()) {
                answers.add(copy(answer.toTensor()));
            }
        }
        return answers;
    }

    private static Tensor copy(org.pytorch.Tensor answer) throws KitException {
        switch (answer.dtype()) {
            case FLOAT32:
                return Tensor.of(answer.getDataAsFloatArray(), answer.shape());
            case INT64:
                return Tensor.of(answer.getDataAsLongArray(), answer.shape());
            case INT32:
                return Tensor.of(answer.getDataAsIntArray(), answer.shape());
            case UINT8:
                return Tensor.of(DType.UINT8,
                        ByteBuffer.wrap(answer.getDataAsUnsignedByteArray()), answer.shape());
            default:
                throw unknown(answer.dtype().toString());
        }
    }

    private static KitException unknown(String type) {
        return new KitException("PyTorch Lite for Android has no tensors of " + type + " that this"
                + " app can use");
    }

    @Override
    protected void destroy(Module module) {
        module.destroy();
    }
}
