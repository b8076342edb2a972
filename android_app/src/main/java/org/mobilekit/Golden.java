package org.mobilekit;

import java.util.ArrayList;
import java.util.List;

/** The bundle's own inputs and what the workstation answered: does this device agree? */
public final class Golden {
    private final List<Npy> inputs;
    private final List<Npy> wanted;
    private final Double floor;

    /** What a device answered, compared with the workstation. */
    public static final class Report {
        /** Golden inputs; of a classifier, pictures. */
        public final int images;

        /** Inputs whose largest number of the first output is where the workstation's is. */
        public final int agreeing;

        /** Largest difference of a number. */
        public final double maxAbs;

        /** The lowest signal to noise ratio of all outputs in dB; infinite if all are equal. */
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
    interface Answerer {
        List<Tensor> answer(List<Tensor> inputs) throws KitException;
    }

    /** How far one output is from the workstation's, summed up. */
    private static final class Distance {
        double signal;
        double noise;
        double maxAbs;

        void add(Tensor got, Tensor expected) {
            for (int i = 0; i < expected.size(); i++) {
                double number = expected.at(i);
                double difference = got.at(i) - number;
                signal += number * number;
                noise += difference * difference;
                maxAbs = Math.max(maxAbs, Math.abs(difference));
            }
        }

        double decibels() {
            if (Double.isNaN(noise)) {
                return Double.NEGATIVE_INFINITY; // answers that are no numbers match nothing
            }
            return noise == 0 ? Double.POSITIVE_INFINITY
                    : 10 * Math.log10(Math.max(signal, 1e-30) / noise);
        }
    }

    Golden(List<Npy> inputs, List<Npy> wanted, Double floor) throws KitException {
        for (Npy one : inputs) {
            checkRows(one, inputs.get(0).rows());
        }
        for (Npy one : wanted) {
            checkRows(one, inputs.get(0).rows());
        }
        this.inputs = inputs;
        this.wanted = wanted;
        this.floor = floor;
    }

    private static void checkRows(Npy one, int rows) throws KitException {
        if (one.rows() != rows || rows < 1) {
            throw new KitException("The bundle has " + rows + " golden inputs, and "
                    + one.rows() + " rows in a file with golden inputs or answers");
        }
    }

    int rows() {
        return inputs.get(0).rows();
    }

    /** Runs every golden input. */
    Report check(Answerer model) throws KitException {
        List<Distance> distances = new ArrayList<>();
        for (int k = 0; k < wanted.size(); k++) {
            distances.add(new Distance());
        }
        int agreeing = 0;
        for (int i = 0; i < rows(); i++) {
            List<Tensor> expected = rows(wanted, i);
            List<Tensor> got = model.answer(rows(inputs, i));
            checkShapes(got, expected);
            for (int k = 0; k < expected.size(); k++) {
                distances.get(k).add(got.get(k), expected.get(k));
            }
            agreeing += first(got) == first(expected) ? 1 : 0;
        }
        double maxAbs = 0;
        double sqnrDb = Double.POSITIVE_INFINITY;
        for (Distance distance : distances) {
            maxAbs = Math.max(maxAbs, distance.maxAbs);
            sqnrDb = Math.min(sqnrDb, distance.decibels());
        }
        return new Report(rows(), agreeing, maxAbs, sqnrDb, floor);
    }

    private static List<Tensor> rows(List<Npy> files, int index) {
        List<Tensor> rows = new ArrayList<>();
        for (Npy file : files) {
            rows.add(file.row(index));
        }
        return rows;
    }

    /** Shapes may differ by sides of one, which two runtimes write in their own ways. */
    private static void checkShapes(List<Tensor> got, List<Tensor> expected) throws KitException {
        boolean same = got.size() == expected.size();
        for (int k = 0; same && k < got.size(); k++) {
            same = got.get(k).dtype == expected.get(k).dtype
                    && got.get(k).size() == expected.get(k).size();
        }
        if (!same) {
            throw new KitException("The model gives " + Tensor.describe(got) + " instead of "
                    + Tensor.describe(expected));
        }
    }

    private static int first(List<Tensor> answers) {
        return Scores.first(answers.get(0).toFloats());
    }
}
