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
 * LiteRT, formerly TensorFlow Lite, with XNNPACK.
 *
 * <p>Channels-last inputs are transposed in {@code inputs}. The library copies all inputs again in
 * each run, which is part of the measured time.
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
        return null; // set when the interpreter is created; the API has no getter
    }

    @Override
    public String version() {
        return TensorFlowLite.runtimeVersion();
    }

    @Override
    public boolean supports(DType dtype) {
        return TYPES.containsKey(dtype);
    }

    @Override
    public void load(File model) throws IOException {
        channelsLast = ChannelsLast.read(model);
        Interpreter.Options options = new Interpreter.Options();
        options.setNumThreads(threads);
        options.setUseXNNPACK(true);
        interpreter = new Interpreter(model, options);
        interpreter.allocateTensors(); // packs the weights now, not in the first inference
    }

    @Override
    public void inputs(List<Tensor> tensors) throws KitException {
        int count = interpreter.getInputTensorCount();
        if (tensors.size() != count) {
            throw new KitException("The model takes " + count + " inputs, not " + tensors.size());
        }
        values = new ByteBuffer[count];
        for (int i = 0; i < count; i++) {
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
        // Outputs are read from the interpreter's tensors afterwards.
        interpreter.runForMultipleInputsOutputs(values, Collections.emptyMap());
    }

    @Override
    public List<Tensor> outputs() throws KitException {
        List<Tensor> outputs = new ArrayList<>();
        for (int i = 0; i < interpreter.getOutputTensorCount(); i++) {
            outputs.add(copy(interpreter.getOutputTensor(i)));
        }
        return outputs;
    }

    private static Tensor copy(org.tensorflow.lite.Tensor output) throws KitException {
        int[] dimensions = output.shape();
        long[] shape = new long[dimensions.length];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = dimensions[i];
        }
        for (Map.Entry<DType, DataType> type : TYPES.entrySet()) {
            if (output.dataType() == type.getValue()) {
                return Tensor.of(type.getKey(), output.asReadOnlyBuffer(), shape);
            }
        }
        throw new KitException("LiteRT returned the output “" + output.name() + "” in a type"
                + " that this app does not support: " + output.dataType());
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
