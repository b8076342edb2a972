package org.mobilekit.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.mobilekit.Answer;
import org.mobilekit.Bundle;
import org.mobilekit.Classifier;
import org.mobilekit.Golden;
import org.mobilekit.KitException;

/**
 * The state of the demo, which survives rotation. Runs the work on one background thread and
 * notifies a listener.
 *
 * <p>Access the fields that are not private from the main thread only. The worker thread owns the
 * model and the decoded picture.
 */
final class DemoSession {
    static final int ANSWERS = 5;

    /** Called on the main thread after each change of the state. */
    interface Listener {
        void onChanged();
    }

    Choice choice;
    List<String> bundles = Collections.emptyList();
    List<String> artifacts = Collections.emptyList();
    Bundle bundle;
    Bitmap picture;
    String credit = "";
    List<Answer> answers = Collections.emptyList();
    long lastNs;
    long preprocessNs;
    final List<Long> times = new ArrayList<>();
    Golden.Report report;
    String problem;
    int pending;

    private final Context context;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private Listener listener;
    private final DemoPictures pictures;
    private Classifier classifier;
    private Choice loaded;

    DemoSession(Context context, Choice choice) {
        this.context = context.getApplicationContext();
        this.pictures = new DemoPictures(this.context);
        this.choice = choice;
    }

    void setListener(Listener listener) {
        this.listener = listener;
    }

    /** Sets the model, number of threads and picture, and classifies. */
    void choose(Choice next) {
        if (!next.sameModel(choice)) {
            times.clear();
            report = null;
        }
        choice = next;
        classify();
    }

    /** Classifies the current picture with the current model. */
    void classify() {
        Choice requested = choice;
        submit(() -> {
            Outcome outcome = new Outcome();
            try {
                outcome.prepare(requested);
                outcome.result = classifier.classify(outcome.picture);
            } catch (KitException e) {
                outcome.problem = e.getMessage();
            }
            return () -> apply(outcome, requested);
        });
    }

    /** Checks the model with the golden inputs. */
    void check() {
        Choice requested = choice;
        submit(() -> {
            try {
                ensureLoaded(requested);
                Golden.Report result = classifier.check();
                return () -> report = requested.sameModel(choice) ? result : report;
            } catch (KitException e) {
                return () -> problem = requested.sameModel(choice) ? e.getMessage() : problem;
            }
        });
    }

    /** Releases the model; the session cannot be used afterwards. */
    void close() {
        listener = null;
        worker.execute(() -> {
            if (classifier != null) {
                classifier.close();
            }
        });
        worker.shutdown();
    }

    /** Returns the median time with the current model, in nanoseconds. */
    long medianNs() {
        List<Long> sorted = new ArrayList<>(times);
        Collections.sort(sorted);
        int middle = sorted.size() / 2;
        return sorted.size() % 2 == 1 ? sorted.get(middle)
                : (sorted.get(middle - 1) + sorted.get(middle)) / 2;
    }

    /** The worker's result, which the main thread applies to the session. */
    private final class Outcome {
        List<String> bundles = Collections.emptyList();
        List<String> artifacts = Collections.emptyList();
        Bundle bundle;
        Choice choice;
        Classifier.Result result;
        Bitmap picture;
        Bitmap displayed;
        String credit = "";
        String problem;

        void prepare(Choice requested) throws KitException {
            choice = requested;
            bundles = Bundle.names(context);
            if (bundles.isEmpty()) {
                throw new KitException(context.getString(R.string.no_bundle));
            }
            String name = bundles.contains(requested.bundle) ? requested.bundle
                    : defaultBundle(bundles);
            choice = requested.withBundle(name);
            bundle = Bundle.open(context, name);
            if (!bundle.classifies()) {
                throw new KitException(context.getString(R.string.no_classifier, name));
            }
            artifacts = bundle.artifacts();
            if (artifacts.isEmpty()) {
                throw new KitException(context.getString(R.string.no_format, name));
            }
            String artifact = artifacts.contains(requested.artifact) ? requested.artifact
                    : artifacts.get(0);
            choice = choice.withArtifact(artifact);
            picture = pictures.get(choice.picture);
            displayed = DemoPictures.scaleForDisplay(picture);
            credit = pictures.credit(choice.picture);
            ensureLoaded(choice);
        }
    }

    /** Returns the default bundle: the first classifier, if there is one. */
    private String defaultBundle(List<String> names) {
        for (String name : names) {
            try {
                if (Bundle.open(context, name).classifies()) {
                    return name;
                }
            } catch (KitException e) {
                return name; // opening it again reports the problem
            }
        }
        return names.get(0);
    }

    private void apply(Outcome outcome, Choice requested) {
        if (!requested.sameModel(choice)) {
            return; // outdated: another model was selected, and its task follows
        }
        if (choice == requested) {
            choice = outcome.choice;
        }
        bundles = outcome.bundles;
        artifacts = outcome.artifacts;
        bundle = outcome.bundle;
        picture = outcome.displayed == null ? picture : outcome.displayed;
        credit = outcome.credit;
        problem = outcome.problem;
        answers = Collections.emptyList();
        if (outcome.result != null) {
            answers = outcome.result.top(ANSWERS);
            lastNs = outcome.result.inferenceNs;
            preprocessNs = outcome.result.preprocessNs;
            times.add(lastNs);
        }
    }

    private void submit(Callable<Runnable> task) {
        pending++;
        notifyListener();
        worker.execute(() -> {
            Runnable completion = run(task);
            main.post(() -> {
                pending--;
                completion.run();
                notifyListener();
            });
        });
    }

    private Runnable run(Callable<Runnable> task) {
        try {
            return task.call();
        } catch (Exception | OutOfMemoryError e) { // unexpected: show it instead of a crash
            Log.e("MobileKit", "unexpected exception", e);
            return () -> problem = e.toString();
        }
    }

    private void notifyListener() {
        if (listener != null) {
            listener.onChanged();
        }
    }

    private void ensureLoaded(Choice requested) throws KitException {
        if (classifier != null && loaded.sameModel(requested)) {
            return;
        }
        if (classifier != null) {
            classifier.close();
            classifier = null;
        }
        classifier = Classifier.load(
                context, requested.bundle, requested.artifact, requested.threads);
        loaded = requested;
    }
}
