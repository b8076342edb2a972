package org.mobilekit;

/** The bundle's own inputs and what the workstation answered: does this device agree? */
public final class Golden {
    private final Npy inputs;
    private final Npy wanted;
    private final Double floor;

    /** What a device answered, compared with the workstation. */
    public static final class Report {
        public final int images;

        /** Pictures with the workstation's first answer. */
        public final int agreeing;

        /** Largest difference of a logit. */
        public final double maxAbs;

        /** Signal to noise in dB over all logits; infinite when they are equal. */
        public final double sqnrDb;

        /** The limit, in dB; null asks for equality. */
        public final Double floor;

        Report(int images, int agreeing, double maxAbs, double sqnrDb, Double floor) {
            this.images = images;
            this.agreeing = agreeing;
            this.maxAbs = maxAbs;
            this.sqnrDb = sqnrDb;
            this.floor = floor;
        }

        /** Whether it is near enough, by the limits the kit uses for runners. */
        public boolean matches() {
            return floor == null ? maxAbs == 0 : sqnrDb >= floor;
        }
    }

    /** Something that answers inputs: a loaded runtime. */
    interface Model {
        float[] answer(float[] input) throws KitException;
    }

    Golden(Npy inputs, Npy wanted, Double floor) throws KitException {
        if (inputs.rows() != wanted.rows() || inputs.rows() < 1) {
            throw new KitException("The bundle has " + inputs.rows() + " golden pictures and "
                    + wanted.rows() + " answers");
        }
        this.inputs = inputs;
        this.wanted = wanted;
        this.floor = floor;
    }

    /** Runs every golden input. */
    Report check(Model model) throws KitException {
        double signal = 0;
        double noise = 0;
        double maxAbs = 0;
        int agreeing = 0;
        for (int i = 0; i < inputs.rows(); i++) {
            float[] expected = wanted.row(i);
            float[] got = model.answer(inputs.row(i));
            if (got.length != expected.length) {
                throw new KitException("The model gives " + got.length + " numbers instead of "
                        + expected.length);
            }
            for (int k = 0; k < got.length; k++) {
                double difference = (double) got[k] - expected[k];
                signal += (double) expected[k] * expected[k];
                noise += difference * difference;
                maxAbs = Math.max(maxAbs, Math.abs(difference));
            }
            agreeing += Scores.first(got) == Scores.first(expected) ? 1 : 0;
        }
        return new Report(inputs.rows(), agreeing, maxAbs, decibels(signal, noise), floor);
    }

    private static double decibels(double signal, double noise) {
        if (Double.isNaN(noise)) {
            return Double.NEGATIVE_INFINITY; // answers that are no numbers match nothing
        }
        return noise == 0 ? Double.POSITIVE_INFINITY
                : 10 * Math.log10(Math.max(signal, 1e-30) / noise);
    }
}
