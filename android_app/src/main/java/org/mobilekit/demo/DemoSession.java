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
 * The demo without its screen: survives rotation, works on one thread, tells the screen.
 *
 * <p>Public state is read and written on the main thread only; the model and picture belong to
 * the worker.
 */
final class DemoSession {
    static final int ANSWERS = 5;

    /** Hears on the main thread that something changed. */
    interface Screen {
        void show();
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
    private Screen screen;
    private final DemoPictures pictures;
    private Classifier classifier;
    private Choice loaded;

    DemoSession(Context context, Choice choice) {
        this.context = context.getApplicationContext();
        this.pictures = new DemoPictures(this.context);
        this.choice = choice;
    }

    void attach(Screen screen) {
        this.screen = screen;
    }

    /** Takes another model, number of threads or picture, and classifies. */
    void choose(Choice next) {
        if (!next.sameModel(choice)) {
            times.clear();
            report = null;
        }
        choice = next;
        classify();
    }

    /** Classifies what is chosen. */
    void classify() {
        Choice wanted = choice;
        work(() -> {
            Outcome outcome = new Outcome();
            try {
                outcome.prepare(wanted);
                outcome.result = classifier.classify(outcome.picture);
            } catch (KitException e) {
                outcome.problem = e.getMessage();
            }
            return () -> take(outcome, wanted);
        });
    }

    /** Runs the golden inputs. */
    void check() {
        Choice wanted = choice;
        work(() -> {
            try {
                use(wanted);
                Golden.Report found = classifier.check();
                return () -> report = wanted.sameModel(choice) ? found : report;
            } catch (KitException e) {
                return () -> problem = wanted.sameModel(choice) ? e.getMessage() : problem;
            }
        });
    }

    /** Frees everything; the session is of no use afterwards. */
    void close() {
        screen = null;
        worker.execute(() -> {
            if (classifier != null) {
                classifier.close();
            }
        });
        worker.shutdown();
    }

    /** The median of the times since the model was chosen, in nanoseconds. */
    long medianNs() {
        List<Long> sorted = new ArrayList<>(times);
        Collections.sort(sorted);
        int middle = sorted.size() / 2;
        return sorted.size() % 2 == 1 ? sorted.get(middle)
                : (sorted.get(middle - 1) + sorted.get(middle)) / 2;
    }

    /** What the worker found, before the main thread takes it. */
    private final class Outcome {
        List<String> bundles = Collections.emptyList();
        List<String> artifacts = Collections.emptyList();
        Bundle bundle;
        Choice choice;
        Classifier.Result result;
        Bitmap picture;
        Bitmap shown;
        String credit = "";
        String problem;

        void prepare(Choice wanted) throws KitException {
            choice = wanted;
            bundles = Bundle.names(context);
            if (bundles.isEmpty()) {
                throw new KitException(context.getString(R.string.no_bundle));
            }
            String name = bundles.contains(wanted.bundle) ? wanted.bundle : first(bundles);
            choice = wanted.withBundle(name);
            bundle = Bundle.open(context, name);
            if (!bundle.classifies()) {
                throw new KitException(context.getString(R.string.no_classifier, name));
            }
            artifacts = bundle.artifacts();
            if (artifacts.isEmpty()) {
                throw new KitException(context.getString(R.string.no_format, name));
            }
            String artifact = artifacts.contains(wanted.artifact) ? wanted.artifact
                    : artifacts.get(0);
            choice = choice.withArtifact(artifact);
            picture = pictures.get(choice.picture);
            shown = DemoPictures.shown(picture);
            credit = pictures.credit(choice.picture);
            use(choice);
        }
    }

    /** What is shown before anybody chose: a classifier if there is one. */
    private String first(List<String> names) {
        for (String name : names) {
            try {
                if (Bundle.open(context, name).classifies()) {
                    return name;
                }
            } catch (KitException e) {
                return name; // whoever opens it next says what is wrong with it
            }
        }
        return names.get(0);
    }

    private void take(Outcome outcome, Choice wanted) {
        if (!wanted.sameModel(choice)) {
            return; // another model was chosen meanwhile, and its turn comes
        }
        if (choice == wanted) {
            choice = outcome.choice;
        }
        bundles = outcome.bundles;
        artifacts = outcome.artifacts;
        bundle = outcome.bundle;
        picture = outcome.shown == null ? picture : outcome.shown;
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

    private void work(Callable<Runnable> task) {
        pending++;
        tell();
        worker.execute(() -> {
            Runnable end = attempt(task);
            main.post(() -> {
                pending--;
                end.run();
                tell();
            });
        });
    }

    private Runnable attempt(Callable<Runnable> task) {
        try {
            return task.call();
        } catch (Exception | OutOfMemoryError e) { // a fault of ours: shown, not a crash
            Log.e("MobileKit", "unexpected", e);
            return () -> problem = e.toString();
        }
    }

    private void tell() {
        if (screen != null) {
            screen.show();
        }
    }

    private void use(Choice wanted) throws KitException {
        if (classifier != null && loaded.sameModel(wanted)) {
            return;
        }
        if (classifier != null) {
            classifier.close();
            classifier = null;
        }
        classifier = Classifier.load(context, wanted.bundle, wanted.artifact, wanted.threads);
        loaded = wanted;
    }
}
