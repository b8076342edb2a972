package org.mobilekit;

import android.content.Context;
import java.io.File;
import java.util.ArrayList;
import java.util.List;

/**
 * A loaded model of any kind: tensors in, tensors out. {@link Classifier} is for pictures.
 *
 * <pre>
 * try (Model model = Model.load(context, "my-bundle", "onnx", 2)) {
 *     List&lt;Tensor&gt; answers = model.answer(Arrays.asList(Tensor.of(tokens, 1, 16)));
 * }
 * </pre>
 *
 * <p>Loading and answering take milliseconds to seconds: never on the main thread. An instance
 * may be used from several threads; calls take turns.
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
     * Loads a bundle of the app's files or assets; see {@link Bundle#open}. {@code artifact} names
     * a model file, or a format that has one file in the bundle.
     */
    public static Model load(Context context, String bundle, String artifact, int threads)
            throws KitException {
        return load(Bundle.open(context, bundle), folder(context), artifact, threads);
    }

    /** Where models are unpacked to: a folder that the system may empty when space is short. */
    public static File folder(Context context) {
        return new File(context.getCacheDir(), MODELS);
    }

    /** Loads a bundle; {@code folder} is where the model file is unpacked to. */
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
        } catch (Exception | LinkageError e) { // libraries throw what they like
            runtime.close();
            throw new KitException("The " + format + " runtime cannot load the model: "
                    + e.getMessage(), e);
        }
    }

    /** Runs the model once; inputs and answers are in the order of the bundle's. */
    public List<Tensor> answer(List<Tensor> inputs) throws KitException {
        return answer(inputs, new long[1]);
    }

    /** Runs the model once, and puts the nanoseconds of the inference alone into {@code time}. */
    synchronized List<Tensor> answer(List<Tensor> inputs, long[] time) throws KitException {
        if (closed) {
            throw new KitException("This model is closed");
        }
        checkTypes(inputs);
        try {
            runtime.inputs(inputs);
            long began = System.nanoTime();
            runtime.run();
            time[0] = System.nanoTime() - began;
            return runtime.outputs();
        } catch (KitException e) {
            throw e;
        } catch (Exception | LinkageError e) { // libraries throw what they like
            throw new KitException("The " + format + " runtime cannot run the model: "
                    + e.getMessage(), e);
        }
    }

    /** Not every library looks at what it is given before it reads that memory. */
    private void checkTypes(List<Tensor> inputs) throws KitException {
        List<TensorSpec> specs = bundle.inputs();
        boolean same = inputs.size() == specs.size();
        for (int i = 0; same && i < specs.size(); i++) {
            Tensor input = inputs.get(i);
            same = input.dtype == specs.get(i).dtype
                    && input.data().capacity() == specs.get(i).bytes;
        }
        if (!same) {
            throw new KitException("The model takes " + new ArrayList<>(specs) + ", not "
                    + Tensor.describe(inputs));
        }
    }

    /** Runs the bundle's golden inputs and compares with the workstation. */
    public Golden.Report check() throws KitException {
        return bundle.golden(artifact).check(this::answer);
    }

    /** Frees the model. */
    @Override
    public synchronized void close() {
        closed = true;
        runtime.close();
    }
}
