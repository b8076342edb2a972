package org.mobilekit;

import android.content.Context;
import android.graphics.Bitmap;
import java.io.File;
import java.util.List;

/**
 * A loaded model: the class to put into an app.
 *
 * <pre>
 * try (Classifier classifier = Classifier.load(context, "my-bundle", "onnx", 2)) {
 *     Classifier.Result result = classifier.classify(bitmap);
 *     Answer best = result.top(1).get(0);
 * }
 * </pre>
 *
 * <p>Loading and classifying take milliseconds to seconds: never on the main thread. An instance
 * may be used from several threads; calls take turns.
 */
public final class Classifier implements AutoCloseable {
    private static final String MODELS = "models";

    public final Bundle bundle;
    public final String format;
    public final int threads;

    private final ModelRuntime runtime;
    private final List<String> labels;
    private boolean closed;

    /** One answer. */
    public static final class Result {
        /** What the model gave, one number per category. */
        public final float[] logits;

        /** Nanoseconds of the inference alone. */
        public final long inferenceNs;

        /** Nanoseconds from the bitmap to the input tensor. */
        public final long preprocessNs;

        private final List<String> labels;

        Result(float[] logits, long inferenceNs, long preprocessNs, List<String> labels) {
            this.logits = logits;
            this.inferenceNs = inferenceNs;
            this.preprocessNs = preprocessNs;
            this.labels = labels;
        }

        /** The most probable answers, the best one first. */
        public List<Answer> top(int count) {
            return Scores.top(logits, labels, count);
        }
    }

    private Classifier(Bundle bundle, String format, int threads, ModelRuntime runtime)
            throws KitException {
        this.bundle = bundle;
        this.format = format;
        this.threads = threads;
        this.runtime = runtime;
        this.labels = bundle.labels();
    }

    /** Loads a bundle of the app's files or assets; see {@link Bundle#open}. */
    public static Classifier load(Context context, String bundle, String format, int threads)
            throws KitException {
        return load(Bundle.open(context, bundle), folder(context), format, threads);
    }

    /** Where models are unpacked to: a folder that the system may empty when space is short. */
    public static File folder(Context context) {
        return new File(context.getCacheDir(), MODELS);
    }

    /** Loads a bundle; {@code folder} is where the model file is unpacked to. */
    public static Classifier load(Bundle bundle, File folder, String format, int threads)
            throws KitException {
        File model = bundle.modelFile(format, folder);
        ModelRuntime runtime = Runtimes.create(format);
        try {
            runtime.prepare(threads);
            runtime.load(model);
            return new Classifier(bundle, format, threads, runtime);
        } catch (KitException e) {
            runtime.close();
            throw e;
        } catch (Exception | LinkageError e) { // libraries throw what they like
            runtime.close();
            throw new KitException("The " + format + " runtime cannot load the model: "
                    + e.getMessage(), e);
        }
    }

    /** Answers a picture. */
    public synchronized Result classify(Bitmap picture) throws KitException {
        long began = System.nanoTime();
        float[] input = bundle.preprocess().input(new BitmapPixels(picture));
        long prepared = System.nanoTime();
        long[] time = new long[1];
        float[] logits = answer(input, time);
        return new Result(logits, time[0], prepared - began, labels);
    }

    /** Runs the bundle's golden inputs and compares with the workstation. */
    public synchronized Golden.Report check() throws KitException {
        return bundle.golden(format).check(input -> answer(input, new long[1]));
    }

    private float[] answer(float[] input, long[] time) throws KitException {
        if (closed) {
            throw new KitException("This model is closed");
        }
        try {
            runtime.input(input, bundle.shape());
            long began = System.nanoTime();
            runtime.run();
            time[0] = System.nanoTime() - began;
            return runtime.output();
        } catch (Exception | LinkageError e) { // libraries throw what they like
            throw new KitException("The " + format + " runtime cannot run the model: "
                    + e.getMessage(), e);
        }
    }

    /** Frees the model. */
    @Override
    public synchronized void close() {
        closed = true;
        runtime.close();
    }
}
