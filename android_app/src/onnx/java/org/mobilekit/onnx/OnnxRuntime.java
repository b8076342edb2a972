package org.mobilekit.onnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import android.util.Log;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Collections;
import java.util.Map;
import java.util.regex.Pattern;
import org.mobilekit.ModelRuntime;

/** ONNX Runtime with its own CPU kernels. */
public final class OnnxRuntime implements ModelRuntime {
    // Android says x86_64 or i686, a desktop's Java amd64 or x86_64.
    private static final Pattern X86 = Pattern.compile("x86.*|i.86|amd64");

    private OrtEnvironment environment;
    private OrtSession session;
    private OnnxTensor input;
    private Map<String, OnnxTensor> inputs;
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
    public void input(float[] values, long[] shape) throws OrtException {
        FloatBuffer direct = ByteBuffer.allocateDirect(values.length * Float.BYTES)
                .order(ByteOrder.nativeOrder()).asFloatBuffer();
        direct.duplicate().put(values); // a duplicate, because put moves the position
        free(input);
        input = OnnxTensor.createTensor(environment, direct, shape);
        inputs = Collections.singletonMap(session.getInputNames().iterator().next(), input);
    }

    @Override
    public void run() throws OrtException {
        free(result);
        result = null;
        result = session.run(inputs);
    }

    @Override
    public float[] output() {
        FloatBuffer values = ((OnnxTensor) result.get(0)).getFloatBuffer();
        float[] answer = new float[values.remaining()];
        values.get(answer);
        return answer;
    }

    @Override
    public void close() {
        free(result);
        free(input);
        free(session);
        result = null;
        input = null;
        session = null;
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
