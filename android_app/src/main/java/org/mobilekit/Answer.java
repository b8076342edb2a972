package org.mobilekit;

/** A category and its probability. */
public final class Answer {
    /** Index of the category in the model's output. */
    public final int index;

    public final String label;

    /** Between 0 and 1. */
    public final double probability;

    Answer(int index, String label, double probability) {
        this.index = index;
        this.label = label;
        this.probability = probability;
    }
}
