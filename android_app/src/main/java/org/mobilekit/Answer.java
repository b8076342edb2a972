package org.mobilekit;

/** One category and how probable it is. */
public final class Answer {
    /** Index of the model's output. */
    public final int index;

    public final String label;

    /** 0..1. */
    public final double probability;

    Answer(int index, String label, double probability) {
        this.index = index;
        this.label = label;
        this.probability = probability;
    }
}
