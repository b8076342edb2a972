package org.mobilekit;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** From logits or probabilities to answers. */
public final class Scores {
    private Scores() {}

    /** Index of the largest value. */
    static int first(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    /** Softmax. */
    static double[] probabilities(float[] logits) {
        double largest = logits[first(logits)];
        double[] shares = new double[logits.length];
        double sum = 0;
        for (int i = 0; i < shares.length; i++) {
            shares[i] = Math.exp(logits[i] - largest);
            sum += shares[i];
        }
        for (int i = 0; i < shares.length; i++) {
            shares[i] /= sum;
        }
        return shares;
    }

    /** The {@code count} most probable answers by their logits, the best one first. */
    public static List<Answer> top(float[] logits, List<String> labels, int count) {
        return best(probabilities(logits), labels, count);
    }

    /** The same of a network that ends with a softmax, which must not be applied again. */
    public static List<Answer> topOfProbabilities(float[] shares, List<String> labels, int count) {
        double[] wide = new double[shares.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = shares[i];
        }
        return best(wide, labels, count);
    }

    private static List<Answer> best(double[] shares, List<String> labels, int count) {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < shares.length; i++) {
            order.add(i);
        }
        Collections.sort(order, (a, b) -> Double.compare(shares[b], shares[a]));
        List<Answer> answers = new ArrayList<>();
        for (int index : order.subList(0, Math.min(count, order.size()))) {
            boolean named = labels != null && index < labels.size();
            String label = named ? labels.get(index) : "#" + index;
            answers.add(new Answer(index, label, shares[index]));
        }
        return answers;
    }
}
