package org.mobilekit;

import android.content.Context;
import java.io.File;
import java.util.ArrayList;
import java.util.List;

/**
 * A loaded model with any inputs and outputs; {@link Classifier} is for pictures.
 *
 * <pre>
 * try (Model model = Model.load(context, "my-bundle", "onnx", 2)) {
 *     List&lt;Tensor&gt; answers = model.answer(Arrays.asList(Tensor.of(tokens, 1, 16)));
 * }
 * </pre>
 *
 * <p>Loading and running take milliseconds to seconds: do not call them on the main thread. An
 * instance is thread-safe; calls are serialized.
 */
public final class Model implements AutoCloseable {
    private static final String MODELS = "models";

    public final Bundle bundle;
    /** The name of the model file in the bundle, such as {@code onnx-int8}. */
    public final String artifact;
    public final String format;
    public final int threads;

    private final ModelRuntime runtime;
    private boolean closed;

    private Model(Bundle bundle, String artifact, String format, int threads,
            ModelRuntime runtime) {
        this.bundle = bundle;
        this.artifact = artifact;
        this.format = format;
        this.threads = threads;
        this.runtime = runtime;
    }

    /**
     * Loads a bundle from the app's files or assets; see {@link Bundle#open}.
     *
     * @param artifact a model file, or a format that has one file in the bundle
     */
    public static Model load(Context context, String bundle, String artifact, int threads)
            throws KitException {
        return load(Bundle.open(context, bundle), folder(context), artifact, threads);
    }

    /** The folder for unpacked models; the system may clear it when storage is low. */
    public static File folder(Context context) {
        return new File(context.getCacheDir(), MODELS);
    }

    /** Loads a bundle and unpacks its model file to {@code folder}. */
    public static Model load(Bundle bundle, File folder, String artifact, int threads)
            throws KitException {
        File file = bundle.modelFile(artifact, folder);
        String format = bundle.format(artifact);
        ModelRuntime runtime = Runtimes.create(format);
        try {
            Runtimes.check(runtime, format, bundle);
            runtime.prepare(threads);
            runtime.load(file);
            return new Model(bundle, artifact, format, threads, runtime);
        } catch (KitException e) {
            runtime.close();
            throw e;
        } catch (Exception | LinkageError e) { // runtimes throw undeclared exceptions
            runtime.close();
            throw new KitException("The " + format + " runtime cannot load the model: "
                    + e.getMessage(), e);
        }
    }

    /** Runs the model once; inputs and outputs are in the order of the bundle. */
    public List<Tensor> answer(List<Tensor> inputs) throws KitException {
        return answer(inputs, new long[1]);
    }

    /** Runs the model once and stores the inference time in nanoseconds in {@code time[0]}. */
    synchronized List<Tensor> answer(List<Tensor> inputs, long[] time) throws KitException {
        if (closed) {
            throw new KitException("This model is closed");
        }
        checkTypes(inputs);
        try {
            runtime.inputs(inputs);
            long startNs = System.nanoTime();
            runtime.run();
            time[0] = System.nanoTime() - startNs;
            return runtime.outputs();
        } catch (KitException e) {
            throw e;
        } catch (Exception | LinkageError e) { // runtimes throw undeclared exceptions
            throw new KitException("The " + format + " runtime cannot run the model: "
                    + e.getMessage(), e);
        }
    }

    /** Checks the inputs here, because some runtimes read the memory without a check. */
    private void checkTypes(List<Tensor> inputs) throws KitException {
        List<TensorSpec> specs = bundle.inputs();
        boolean matches = inputs.size() == specs.size();
        for (int i = 0; matches && i < specs.size(); i++) {
            Tensor input = inputs.get(i);
            matches = input.dtype == specs.get(i).dtype
                    && input.data().capacity() == specs.get(i).bytes;
        }
        if (!matches) {
            throw new KitException("The model takes " + new ArrayList<>(specs) + ", not "
                    + Tensor.describe(inputs));
        }
    }

    /** Runs the bundle's golden inputs and compares the outputs with the workstation's. */
    public Golden.Report check() throws KitException {
        return bundle.golden(artifact).check(this::answer);
    }

    /** Releases the model. */
    @Override
    public synchronized void close() {
        closed = true;
        runtime.close();
    }
}
