package org.mobilekit;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Converts logits or probabilities to answers. */
public final class Scores {
    private Scores() {}

    /** Returns the index of the largest value. */
    static int argmax(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    /** Converts logits to probabilities. */
    static double[] softmax(float[] logits) {
        double largest = logits[argmax(logits)];
        double[] probabilities = new double[logits.length];
        double sum = 0;
        for (int i = 0; i < probabilities.length; i++) {
            probabilities[i] = Math.exp(logits[i] - largest);
            sum += probabilities[i];
        }
        for (int i = 0; i < probabilities.length; i++) {
            probabilities[i] /= sum;
        }
        return probabilities;
    }

    /** Returns the {@code count} most probable answers for logits, in descending order. */
    public static List<Answer> top(float[] logits, List<String> labels, int count) {
        return rank(softmax(logits), labels, count);
    }

    /** Like {@link #top}, for a network whose outputs are already probabilities. */
    public static List<Answer> topOfProbabilities(
            float[] probabilities, List<String> labels, int count) {
        double[] wide = new double[probabilities.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = probabilities[i];
        }
        return rank(wide, labels, count);
    }

    private static List<Answer> rank(double[] probabilities, List<String> labels, int count) {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < probabilities.length; i++) {
            order.add(i);
        }
        Collections.sort(order, (a, b) -> Double.compare(probabilities[b], probabilities[a]));
        List<Answer> answers = new ArrayList<>();
        for (int index : order.subList(0, Math.min(count, order.size()))) {
            boolean named = labels != null && index < labels.size();
            String label = named ? labels.get(index) : "#" + index;
            answers.add(new Answer(index, label, probabilities[index]));
        }
        return answers;
    }
}
