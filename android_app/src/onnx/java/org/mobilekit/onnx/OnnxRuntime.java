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

/** ONNX Runtime with its own CPU kernels. */
public final class OnnxRuntime implements ModelRuntime {
    // Android says x86_64 or i686, a desktop's Java amd64 or x86_64.
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
        return null; // a session takes the number when it is made, and cannot be asked
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
                // Without VNNI the int8 kernels saturate, and say nothing. That x86 processors
                // with it become slower matters to emulators alone; see docs/embedding.md.
                options.addConfigEntry("session.x64quantprecision", "1");
            }
            session = environment.createSession(model.getPath(), options);
        }
    }

    @Override
    public boolean has(DType dtype) {
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
        for (String name : session.getInputNames()) { // in the order of the file
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
        List<Tensor> answers = new ArrayList<>();
        for (Map.Entry<String, OnnxValue> answer : result) {
            answers.add(copy(answer.getKey(), answer.getValue()));
        }
        return answers;
    }

    private static Tensor copy(String name, OnnxValue answer) throws KitException {
        if (answer instanceof OnnxTensor) {
            TensorInfo info = ((OnnxTensor) answer).getInfo();
            for (Map.Entry<DType, OnnxJavaType> known : TYPES.entrySet()) {
                if (info.type == known.getValue()) {
                    ByteBuffer data = ((OnnxTensor) answer).getByteBuffer();
                    return Tensor.of(known.getKey(), data, info.getShape());
                }
            }
        }
        throw new KitException("ONNX Runtime gives the output “" + name + "” in a type that this"
                + " app cannot use: " + answer.getInfo());
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

    private static void free(AutoCloseable thing) {
        try {
            if (thing != null) {
                thing.close();
            }
        } catch (Exception e) { // nothing can be done about memory that stays taken
            Log.w("MobileKit", "ONNX Runtime could not free its memory", e);
        }
    }
}
