package org.mobilekit;

import android.content.Context;
import android.graphics.Bitmap;
import java.io.File;
import java.util.Collections;
import java.util.List;

/**
 * A loaded image classifier: the entry point for apps.
 *
 * <pre>
 * try (Classifier classifier = Classifier.load(context, "my-bundle", "onnx", 2)) {
 *     Classifier.Result result = classifier.classify(bitmap);
 *     Answer best = result.top(1).get(0);
 * }
 * </pre>
 *
 * <p>Loading and classifying take milliseconds to seconds: do not call them on the main thread. An
 * instance is thread-safe; calls are serialized.
 */
public final class Classifier implements AutoCloseable {
    public final Bundle bundle;
    public final String format;
    public final int threads;

    private final Model model;
    private final List<String> labels;

    /** The result of one classification. */
    public static final class Result {
        /**
         * The model's output, one number per category: logits, or probabilities if
         * {@link Bundle#probabilities} returns true.
         */
        public final float[] logits;

        /** Duration of the inference alone, in nanoseconds. */
        public final long inferenceNs;

        /** Duration of the preprocessing from bitmap to input tensor, in nanoseconds. */
        public final long preprocessNs;

        private final List<String> labels;
        private final boolean probabilities;

        Result(float[] logits, long inferenceNs, long preprocessNs, List<String> labels,
                boolean probabilities) {
            this.logits = logits;
            this.inferenceNs = inferenceNs;
            this.preprocessNs = preprocessNs;
            this.labels = labels;
            this.probabilities = probabilities;
        }

        /** Returns the {@code count} most probable answers in descending order. */
        public List<Answer> top(int count) {
            return probabilities ? Scores.topOfProbabilities(logits, labels, count)
                    : Scores.top(logits, labels, count);
        }
    }

    private Classifier(Model model, List<String> labels) {
        this.bundle = model.bundle;
        this.format = model.format;
        this.threads = model.threads;
        this.model = model;
        this.labels = labels;
    }

    /** Loads a bundle from the app's files or assets; see {@link Model#load}. */
    public static Classifier load(Context context, String bundle, String artifact, int threads)
            throws KitException {
        return load(Bundle.open(context, bundle), Model.folder(context), artifact, threads);
    }

    /** Loads a bundle and unpacks its model file to {@code folder}. */
    public static Classifier load(Bundle bundle, File folder, String artifact, int threads)
            throws KitException {
        if (!bundle.classifies()) {
            throw new KitException("The model of the bundle “" + bundle.name + "” is not an image"
                    + " classifier");
        }
        List<String> labels = bundle.labels();
        return new Classifier(Model.load(bundle, folder, artifact, threads), labels);
    }

    /** Classifies a picture. */
    public Result classify(Bitmap picture) throws KitException {
        long startNs = System.nanoTime();
        float[] values = bundle.preprocess().input(new BitmapPixels(picture));
        Tensor input = Tensor.of(values, bundle.inputs().get(0).shape());
        long preprocessedNs = System.nanoTime();
        long[] time = new long[1];
        Tensor logits = model.answer(Collections.singletonList(input), time).get(0);
        return new Result(logits.toFloats(), time[0], preprocessedNs - startNs, labels,
                bundle.probabilities());
    }

    /** Runs the bundle's golden inputs and compares the outputs with the workstation's. */
    public Golden.Report check() throws KitException {
        return model.check();
    }

    /** Releases the model. */
    @Override
    public void close() {
        model.close();
    }
}
