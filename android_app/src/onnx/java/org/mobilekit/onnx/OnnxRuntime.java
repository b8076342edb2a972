package org.mobilekit.onnx;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import android.util.Log;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.mobilekit.DType;
import org.mobilekit.KitException;
import org.mobilekit.ModelRuntime;
import org.mobilekit.Tensor;

/** ONNX Runtime with its CPU execution provider. */
public final class OnnxRuntime implements ModelRuntime {
    // os.arch is x86_64 or i686 on Android, amd64 or x86_64 on desktops.
    private static final Pattern X86 = Pattern.compile("x86.*|i.86|amd64");

    private static final Map<DType, OnnxJavaType> TYPES = new EnumMap<>(DType.class);

    static {
        TYPES.put(DType.FLOAT32, OnnxJavaType.FLOAT);
        TYPES.put(DType.FLOAT16, OnnxJavaType.FLOAT16);
        TYPES.put(DType.INT64, OnnxJavaType.INT64);
        TYPES.put(DType.INT32, OnnxJavaType.INT32);
        TYPES.put(DType.UINT8, OnnxJavaType.UINT8);
        TYPES.put(DType.BOOL, OnnxJavaType.BOOL);
    }

    private OrtEnvironment environment;
    private OrtSession session;
    private final Map<String, OnnxTensor> inputs = new LinkedHashMap<>();
    private OrtSession.Result result;
    private int threads = 1;

    @Override
    public Integer prepare(int threads) {
        this.threads = threads;
        environment = OrtEnvironment.getEnvironment();
        return null; // set when the session is created; the API has no getter
    }

    @Override
    public String version() {
        return environment.getVersion();
    }

    @Override
    public void load(File model) throws OrtException {
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(threads);
            options.setInterOpNumThreads(1);
            if (X86.matcher(System.getProperty("os.arch", "")).matches()) {
                // Without VNNI the int8 kernels saturate silently. The option slows down x86
                // processors with VNNI, which affects emulators only; see docs/embedding.md.
                options.addConfigEntry("session.x64quantprecision", "1");
            }
            session = environment.createSession(model.getPath(), options);
        }
    }

    @Override
    public boolean supports(DType dtype) {
        return TYPES.containsKey(dtype);
    }

    @Override
    public void inputs(List<Tensor> values) throws OrtException, KitException {
        freeInputs();
        if (values.size() != session.getInputNames().size()) {
            throw new KitException("The model takes " + session.getInputNames().size()
                    + " inputs, not " + values.size());
        }
        Iterator<Tensor> next = values.iterator();
        for (String name : session.getInputNames()) { // in the order of the model file
            Tensor value = next.next();
            inputs.put(name, OnnxTensor.createTensor(environment, value.data(), value.shape(),
                    TYPES.get(value.dtype)));
        }
    }

    @Override
    public void run() throws OrtException {
        free(result);
        result = null;
        result = session.run(inputs);
    }

    @Override
    public List<Tensor> outputs() throws KitException {
        List<Tensor> outputs = new ArrayList<>();
        for (Map.Entry<String, OnnxValue> output : result) {
            outputs.add(copy(output.getKey(), output.getValue()));
        }
        return outputs;
    }

    private static Tensor copy(String name, OnnxValue output) throws KitException {
        if (output instanceof OnnxTensor) {
            TensorInfo info = ((OnnxTensor) output).getInfo();
            for (Map.Entry<DType, OnnxJavaType> type : TYPES.entrySet()) {
                if (info.type == type.getValue()) {
                    ByteBuffer data = ((OnnxTensor) output).getByteBuffer();
                    return Tensor.of(type.getKey(), data, info.getShape());
                }
            }
        }
        throw new KitException("ONNX Runtime returned the output “" + name + "” in a type that"
                + " this app does not support: " + output.getInfo());
    }

    @Override
    public void close() {
        free(result);
        freeInputs();
        free(session);
        result = null;
        session = null;
    }

    private void freeInputs() {
        for (OnnxTensor input : inputs.values()) {
            free(input);
        }
        inputs.clear();
    }

    private static void free(AutoCloseable resource) {
        try {
            if (resource != null) {
                resource.close();
            }
        } catch (Exception e) { // the leak cannot be fixed here
            Log.w("MobileKit", "ONNX Runtime cannot release its memory", e);
        }
    }
}
