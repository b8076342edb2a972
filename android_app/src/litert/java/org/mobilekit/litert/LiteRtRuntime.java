package org.mobilekit.litert;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.mobilekit.DType;
import org.mobilekit.KitException;
import org.mobilekit.ModelRuntime;
import org.mobilekit.Tensor;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.TensorFlowLite;

/**
 * LiteRT, the former TensorFlow Lite, with XNNPACK.
 *
 * <p>Inputs that the file takes channels last are transposed in {@code inputs}; the library copies
 * them once more in each run, which is part of what is timed.
 */
public final class LiteRtRuntime implements ModelRuntime {
    private static final Map<DType, DataType> TYPES = new EnumMap<>(DType.class);

    static {
        TYPES.put(DType.FLOAT32, DataType.FLOAT32);
        TYPES.put(DType.INT64, DataType.INT64);
        TYPES.put(DType.INT32, DataType.INT32);
        TYPES.put(DType.UINT8, DataType.UINT8);
        TYPES.put(DType.BOOL, DataType.BOOL);
    }

    private Interpreter interpreter;
    private Set<Integer> channelsLast = Collections.emptySet();
    private ByteBuffer[] values;
    private int threads = 1;

    @Override
    public Integer prepare(int threads) {
        this.threads = threads;
        TensorFlowLite.init(); // loads the native library
        return null; // an interpreter takes the number when it is made, and cannot be asked
    }

    @Override
    public String version() {
        return TensorFlowLite.runtimeVersion();
    }

    @Override
    public boolean has(DType dtype) {
        return TYPES.containsKey(dtype);
    }

    @Override
    public void load(File model) throws IOException {
        channelsLast = ChannelsLast.read(model);
        Interpreter.Options options = new Interpreter.Options();
        options.setNumThreads(threads);
        options.setUseXNNPACK(true);
        interpreter = new Interpreter(model, options);
        interpreter.allocateTensors(); // packs the weights, which is no part of an inference
    }

    @Override
    public void inputs(List<Tensor> tensors) throws KitException {
        int wanted = interpreter.getInputTensorCount();
        if (tensors.size() != wanted) {
            throw new KitException("The model takes " + wanted + " inputs, not " + tensors.size());
        }
        values = new ByteBuffer[wanted];
        for (int i = 0; i < wanted; i++) {
            Tensor tensor = tensors.get(i);
            DataType type = interpreter.getInputTensor(i).dataType();
            if (type != TYPES.get(tensor.dtype)) {
                throw new KitException("Input " + i + " of the file is " + type + ", not "
                        + tensor.dtype.label);
            }
            ByteBuffer data = tensor.data();
            values[i] = channelsLast.contains(i)
                    ? ChannelsLast.transpose(data, tensor.shape(), tensor.dtype.bytes)
                    : data.order(ByteOrder.nativeOrder());
        }
    }

    @Override
    public void run() {
        // Outputs stay where they are until they are read.
        interpreter.runForMultipleInputsOutputs(values, Collections.emptyMap());
    }

    @Override
    public List<Tensor> outputs() throws KitException {
        List<Tensor> answers = new ArrayList<>();
        for (int i = 0; i < interpreter.getOutputTensorCount(); i++) {
            answers.add(copy(interpreter.getOutputTensor(i)));
        }
        return answers;
    }

    private static Tensor copy(org.tensorflow.lite.Tensor answer) throws KitException {
        int[] sides = answer.shape();
        long[] shape = new long[sides.length];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = sides[i];
        }
        for (Map.Entry<DType, DataType> known : TYPES.entrySet()) {
            if (answer.dataType() == known.getValue()) {
                return Tensor.of(known.getKey(), answer.asReadOnlyBuffer(), shape);
            }
        }
        throw new KitException("LiteRT gives the output “" + answer.name() + "” in a type that"
                + " this app cannot use: " + answer.dataType());
    }

    @Override
    public void close() {
        if (interpreter != null) {
            interpreter.close();
        }
        interpreter = null;
        values = null;
    }
}
