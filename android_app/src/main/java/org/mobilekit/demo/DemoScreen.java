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

/** Puts a session's state into the views. */
final class DemoScreen {
    static final int MOST_THREADS = 8;

    private final Activity activity;
    private final Words words;

    DemoScreen(Activity activity) {
        this.activity = activity;
        words = new Words(activity);
    }

    void show(DemoSession session) {
        view(R.id.busy).setVisibility(session.pending > 0 ? View.VISIBLE : View.INVISIBLE);
        about(session);
        picture(session);
        problem(session.problem);
        answers(session.answers);
        speed(session);
        bundles(session);
        artifacts(session);
        threads(session.choice.threads);
        verdict(session);
    }

    private void about(DemoSession session) {
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
        text(R.id.about, text);
    }

    private void picture(DemoSession session) {
        ((ImageView) view(R.id.picture)).setImageBitmap(session.picture);
        text(R.id.credit, session.credit);
        visible(R.id.credit, !session.credit.isEmpty());
    }

    private void problem(String message) {
        text(R.id.problem, message == null ? "" : message);
        visible(R.id.problem, message != null);
    }

    private void answers(List<Answer> answers) {
        ViewGroup rows = view(R.id.answers);
        while (rows.getChildCount() > answers.size()) {
            rows.removeViewAt(rows.getChildCount() - 1);
        }
        while (rows.getChildCount() < answers.size()) {
            LayoutInflater.from(activity).inflate(R.layout.answer, rows);
        }
        for (int i = 0; i < answers.size(); i++) {
            answer(rows.getChildAt(i), answers.get(i), i == 0);
        }
        visible(R.id.answer_card, !answers.isEmpty());
    }

    private void answer(View row, Answer answer, boolean best) {
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

    private void speed(DemoSession session) {
        boolean measured = !session.times.isEmpty();
        visible(R.id.speed_card, measured);
        if (!measured) {
            return;
        }
        Resources resources = activity.getResources();
        int calls = session.times.size();
        text(R.id.this_call, words.milliseconds(session.lastNs));
        text(R.id.median, words.milliseconds(session.medianNs()));
        text(R.id.median_of, resources.getQuantityString(R.plurals.median_of, calls, calls));
        text(R.id.preparing,
                activity.getString(R.string.preparing, words.short3(session.preprocessNs / 1e6)));
    }

    private void bundles(DemoSession session) {
        Spinner spinner = view(R.id.bundles);
        visible(R.id.bundles, session.bundles.size() > 1);
        if (!session.bundles.equals(spinner.getTag())) {
            spinner.setTag(session.bundles);
            ArrayAdapter<String> names = new ArrayAdapter<>(activity,
                    R.layout.bundle, session.bundles);
            names.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
            spinner.setAdapter(names);
        }
        int chosen = session.bundles.indexOf(session.choice.bundle);
        if (chosen >= 0) { // an empty spinner would tell its listener of a selection
            spinner.setSelection(chosen);
        }
    }

    private void artifacts(DemoSession session) {
        RadioGroup group = view(R.id.formats);
        if (!session.artifacts.equals(group.getTag())) {
            group.setTag(session.artifacts);
            group.removeAllViews();
            for (String artifact : session.artifacts) {
                group.addView(segment(artifact, words.artifact(session, artifact)));
            }
        }
        for (int i = 0; i < group.getChildCount(); i++) {
            RadioButton segment = (RadioButton) group.getChildAt(i);
            segment.setChecked(segment.getTag().equals(session.choice.artifact));
        }
        visible(R.id.formats, !session.artifacts.isEmpty());
        // Who chose a damaged bundle must be able to choose another one.
        visible(R.id.model_card, !session.artifacts.isEmpty() || session.bundles.size() > 1);
        visible(R.id.check_card, !session.artifacts.isEmpty());
    }

    private RadioButton segment(String artifact, String text) {
        RadioButton segment = new RadioButton(activity, null, 0, R.style.Segment);
        segment.setId(View.generateViewId());
        segment.setTag(artifact);
        segment.setText(text);
        segment.setLayoutParams(new RadioGroup.LayoutParams(
                ViewGroup.LayoutParams.MATCH_PARENT, ViewGroup.LayoutParams.WRAP_CONTENT));
        return segment;
    }

    private void threads(int threads) {
        text(R.id.threads, words.whole(threads));
        view(R.id.fewer).setEnabled(threads > 1);
        view(R.id.more).setEnabled(threads < MOST_THREADS);
    }

    private void verdict(DemoSession session) {
        Golden.Report report = session.report;
        visible(R.id.verdict, report != null);
        if (report == null) {
            return;
        }
        boolean good = report.matches();
        ((ImageView) view(R.id.verdict_sign)).setImageResource(
                good ? R.drawable.verdict_good : R.drawable.verdict_bad);
        TextView word = view(R.id.verdict_word);
        word.setText(good ? R.string.matches : R.string.differs);
        word.setTextColor(activity.getColor(good ? R.color.accent : R.color.bad));
        text(R.id.verdict_numbers, words.numbers(report));
    }

    private void text(int id, String text) {
        TextView view = view(id);
        if (!text.contentEquals(view.getText())) { // a live region would speak it again
            view.setText(text);
        }
    }

    private void visible(int id, boolean visible) {
        view(id).setVisibility(visible ? View.VISIBLE : View.GONE);
    }

    private <T extends View> T view(int id) {
        return activity.findViewById(id);
    }
}
