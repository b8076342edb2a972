package org.mobilekit;

import android.content.Context;
import android.graphics.Bitmap;
import java.io.File;
import java.util.Collections;
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
    public final Bundle bundle;
    public final String format;
    public final int threads;

    private final Model model;
    private final List<String> labels;

    /** One answer. */
    public static final class Result {
        /**
         * What the model gave, one number per category: logits, or probabilities if
         * {@link Bundle#probabilities} says so.
         */
        public final float[] logits;

        /** Nanoseconds of the inference alone. */
        public final long inferenceNs;

        /** Nanoseconds from the bitmap to the input tensor. */
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

        /** The most probable answers, the best one first. */
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

    /** Loads a bundle of the app's files or assets; see {@link Model#load}. */
    public static Classifier load(Context context, String bundle, String artifact, int threads)
            throws KitException {
        return load(Bundle.open(context, bundle), Model.folder(context), artifact, threads);
    }

    /** Loads a bundle; {@code folder} is where the model file is unpacked to. */
    public static Classifier load(Bundle bundle, File folder, String artifact, int threads)
            throws KitException {
        if (!bundle.classifies()) {
            throw new KitException("The model of the bundle “" + bundle.name + "” is no classifier"
                    + " of pictures");
        }
        List<String> labels = bundle.labels();
        return new Classifier(Model.load(bundle, folder, artifact, threads), labels);
    }

    /** Answers a picture. */
    public Result classify(Bitmap picture) throws KitException {
        long began = System.nanoTime();
        float[] values = bundle.preprocess().input(new BitmapPixels(picture));
        Tensor input = Tensor.of(values, bundle.inputs().get(0).shape());
        long prepared = System.nanoTime();
        long[] time = new long[1];
        Tensor logits = model.answer(Collections.singletonList(input), time).get(0);
        return new Result(logits.toFloats(), time[0], prepared - began, labels,
                bundle.probabilities());
    }

    /** Runs the bundle's golden inputs and compares with the workstation. */
    public Golden.Report check() throws KitException {
        return model.check();
    }

    /** Frees the model. */
    @Override
    public void close() {
        model.close();
    }
}
