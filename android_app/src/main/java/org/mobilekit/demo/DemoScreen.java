package org.mobilekit.demo;

import android.app.Activity;
import android.content.res.Resources;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ArrayAdapter;
import android.widget.ImageView;
import android.widget.RadioButton;
import android.widget.RadioGroup;
import android.widget.Spinner;
import android.widget.TextView;
import java.util.List;
import org.mobilekit.Answer;
import org.mobilekit.Golden;
import org.mobilekit.KitException;

/** Updates the views from the state of a session. */
final class DemoScreen {
    static final int MAX_THREADS = 8;

    private final Activity activity;
    private final Words words;

    DemoScreen(Activity activity) {
        this.activity = activity;
        words = new Words(activity);
    }

    void show(DemoSession session) {
        view(R.id.busy).setVisibility(session.pending > 0 ? View.VISIBLE : View.INVISIBLE);
        showAbout(session);
        showPicture(session);
        showProblem(session.problem);
        showAnswers(session.answers);
        showSpeed(session);
        showBundles(session);
        showArtifacts(session);
        showThreads(session.choice.threads);
        showVerdict(session);
    }

    private void showAbout(DemoSession session) {
        String text = "";
        if (session.bundle != null && !session.bundle.classifies()) {
            text = session.bundle.model();
        } else if (session.bundle != null && session.choice.artifact != null) {
            try {
                text = activity.getString(R.string.about_model, session.bundle.model(),
                        session.bundle.preprocess().height(),
                        session.bundle.preprocess().width(),
                        words.precision(session.bundle.quantize(session.choice.artifact)));
            } catch (KitException e) {
                text = session.bundle.name;
            }
        }
        setText(R.id.about, text);
    }

    private void showPicture(DemoSession session) {
        ((ImageView) view(R.id.picture)).setImageBitmap(session.picture);
        setText(R.id.credit, session.credit);
        setVisible(R.id.credit, !session.credit.isEmpty());
    }

    private void showProblem(String message) {
        setText(R.id.problem, message == null ? "" : message);
        setVisible(R.id.problem, message != null);
    }

    private void showAnswers(List<Answer> answers) {
        ViewGroup rows = view(R.id.answers);
        while (rows.getChildCount() > answers.size()) {
            rows.removeViewAt(rows.getChildCount() - 1);
        }
        while (rows.getChildCount() < answers.size()) {
            LayoutInflater.from(activity).inflate(R.layout.answer, rows);
        }
        for (int i = 0; i < answers.size(); i++) {
            showAnswer(rows.getChildAt(i), answers.get(i), i == 0);
        }
        setVisible(R.id.answer_card, !answers.isEmpty());
    }

    private void showAnswer(View row, Answer answer, boolean best) {
        String share = words.percent(answer.probability);
        TextView label = row.findViewById(R.id.label);
        label.setText(answer.label);
        label.setTextSize(best ? 22 : 15);
        TextView percents = row.findViewById(R.id.percent);
        percents.setText(share);
        percents.setTextSize(best ? 22 : 15);
        percents.setTextColor(activity.getColor(best ? R.color.accent : R.color.muted));
        ((ProbabilityBar) row.findViewById(R.id.bar)).show(answer.probability, best);
        row.setContentDescription(
                activity.getString(R.string.answer_described, answer.label, share));
    }

    private void showSpeed(DemoSession session) {
        boolean measured = !session.times.isEmpty();
        setVisible(R.id.speed_card, measured);
        if (!measured) {
            return;
        }
        Resources resources = activity.getResources();
        int calls = session.times.size();
        setText(R.id.this_call, words.milliseconds(session.lastNs));
        setText(R.id.median, words.milliseconds(session.medianNs()));
        setText(R.id.median_of, resources.getQuantityString(R.plurals.median_of, calls, calls));
        setText(R.id.preparing,
                activity.getString(R.string.preparing, words.short3(session.preprocessNs / 1e6)));
    }

    private void showBundles(DemoSession session) {
        Spinner spinner = view(R.id.bundles);
        setVisible(R.id.bundles, session.bundles.size() > 1);
        if (!session.bundles.equals(spinner.getTag())) {
            spinner.setTag(session.bundles);
            ArrayAdapter<String> names = new ArrayAdapter<>(activity,
                    R.layout.bundle, session.bundles);
            names.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
            spinner.setAdapter(names);
        }
        int chosen = session.bundles.indexOf(session.choice.bundle);
        if (chosen >= 0) { // an empty spinner would call its listener
            spinner.setSelection(chosen);
        }
    }

    private void showArtifacts(DemoSession session) {
        RadioGroup group = view(R.id.formats);
        if (!session.artifacts.equals(group.getTag())) {
            group.setTag(session.artifacts);
            group.removeAllViews();
            for (String artifact : session.artifacts) {
                group.addView(createSegment(artifact, words.artifact(session, artifact)));
            }
        }
        for (int i = 0; i < group.getChildCount(); i++) {
            RadioButton segment = (RadioButton) group.getChildAt(i);
            segment.setChecked(segment.getTag().equals(session.choice.artifact));
        }
        setVisible(R.id.formats, !session.artifacts.isEmpty());
        // Keep the bundle list visible: the user must be able to leave a damaged bundle.
        setVisible(R.id.model_card, !session.artifacts.isEmpty() || session.bundles.size() > 1);
        setVisible(R.id.check_card, !session.artifacts.isEmpty());
    }

    private RadioButton createSegment(String artifact, String text) {
        RadioButton segment = new RadioButton(activity, null, 0, R.style.Segment);
        segment.setId(View.generateViewId());
        segment.setTag(artifact);
        segment.setText(text);
        segment.setLayoutParams(new RadioGroup.LayoutParams(
                ViewGroup.LayoutParams.MATCH_PARENT, ViewGroup.LayoutParams.WRAP_CONTENT));
        return segment;
    }

    private void showThreads(int threads) {
        setText(R.id.threads, words.whole(threads));
        view(R.id.fewer).setEnabled(threads > 1);
        view(R.id.more).setEnabled(threads < MAX_THREADS);
    }

    private void showVerdict(DemoSession session) {
        Golden.Report report = session.report;
        setVisible(R.id.verdict, report != null);
        if (report == null) {
            return;
        }
        boolean matches = report.matches();
        ((ImageView) view(R.id.verdict_sign)).setImageResource(
                matches ? R.drawable.verdict_good : R.drawable.verdict_bad);
        TextView word = view(R.id.verdict_word);
        word.setText(matches ? R.string.matches : R.string.differs);
        word.setTextColor(activity.getColor(matches ? R.color.accent : R.color.bad));
        setText(R.id.verdict_numbers, words.numbers(report));
    }

    private void setText(int id, String text) {
        TextView view = view(id);
        if (!text.contentEquals(view.getText())) { // otherwise a live region announces it again
            view.setText(text);
        }
    }

    private void setVisible(int id, boolean visible) {
        view(id).setVisibility(visible ? View.VISIBLE : View.GONE);
    }

    private <T extends View> T view(int id) {
        return activity.findViewById(id);
    }
}
