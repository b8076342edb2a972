package org.mobilekit;

import java.util.ArrayList;
import java.util.List;

/** The bundle's golden inputs and the outputs that the workstation computed for them. */
public final class Golden {
    private final List<Npy> inputs;
    private final List<Npy> expectedOutputs;
    private final Double floor;

    /** Comparison of a device's outputs with the workstation's. */
    public static final class Report {
        /** Number of golden inputs; for a classifier, of pictures. */
        public final int images;

        /** Number of inputs with the same argmax of the first output as on the workstation. */
        public final int agreeing;

        /** Largest absolute difference of two values. */
        public final double maxAbs;

        /** Lowest signal to noise ratio of the outputs in dB; infinite if all are equal. */
        public final double sqnrDb;

        /** Minimum signal to noise ratio in dB; null requires equality. */
        public final Double floor;

        Report(int images, int agreeing, double maxAbs, double sqnrDb, Double floor) {
            this.images = images;
            this.agreeing = agreeing;
            this.maxAbs = maxAbs;
            this.sqnrDb = sqnrDb;
            this.floor = floor;
        }

        /** Whether the outputs are within the limits that kit uses for runners. */
        public boolean matches() {
            return floor == null ? maxAbs == 0 : sqnrDb >= floor;
        }
    }

    /** Computes outputs from inputs, such as a loaded model. */
    interface Runner {
        List<Tensor> run(List<Tensor> inputs) throws KitException;
    }

    /** Accumulates the error of one output against the workstation's. */
    private static final class OutputError {
        double signal;
        double noise;
        double maxAbs;

        void add(Tensor actual, Tensor expected) {
            for (int i = 0; i < expected.size(); i++) {
                double reference = expected.at(i);
                double difference = actual.at(i) - reference;
                signal += reference * reference;
                noise += difference * difference;
                maxAbs = Math.max(maxAbs, Math.abs(difference));
            }
        }

        double decibels() {
            if (Double.isNaN(noise)) {
                return Double.NEGATIVE_INFINITY; // NaN outputs never match
            }
            return noise == 0 ? Double.POSITIVE_INFINITY
                    : 10 * Math.log10(Math.max(signal, 1e-30) / noise);
        }
    }

    Golden(List<Npy> inputs, List<Npy> expectedOutputs, Double floor) throws KitException {
        for (Npy array : inputs) {
            checkRows(array, inputs.get(0).rows());
        }
        for (Npy array : expectedOutputs) {
            checkRows(array, inputs.get(0).rows());
        }
        this.inputs = inputs;
        this.expectedOutputs = expectedOutputs;
        this.floor = floor;
    }

    private static void checkRows(Npy array, int rows) throws KitException {
        if (array.rows() != rows || rows < 1) {
            throw new KitException("The bundle has " + rows + " golden inputs, but one of its"
                    + " golden files has " + array.rows() + " rows");
        }
    }

    int rows() {
        return inputs.get(0).rows();
    }

    /** Runs all golden inputs and compares the outputs. */
    Report check(Runner model) throws KitException {
        List<OutputError> errors = new ArrayList<>();
        for (int k = 0; k < expectedOutputs.size(); k++) {
            errors.add(new OutputError());
        }
        int agreeing = 0;
        for (int i = 0; i < rows(); i++) {
            List<Tensor> expected = rows(expectedOutputs, i);
            List<Tensor> actual = model.run(rows(inputs, i));
            checkShapes(actual, expected);
            for (int k = 0; k < expected.size(); k++) {
                errors.get(k).add(actual.get(k), expected.get(k));
            }
            agreeing += argmax(actual) == argmax(expected) ? 1 : 0;
        }
        double maxAbs = 0;
        double sqnrDb = Double.POSITIVE_INFINITY;
        for (OutputError error : errors) {
            maxAbs = Math.max(maxAbs, error.maxAbs);
            sqnrDb = Math.min(sqnrDb, error.decibels());
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

    /** Compares types and element counts; runtimes may add or drop dimensions of size 1. */
    private static void checkShapes(List<Tensor> actual, List<Tensor> expected)
            throws KitException {
        boolean same = actual.size() == expected.size();
        for (int k = 0; same && k < actual.size(); k++) {
            same = actual.get(k).dtype == expected.get(k).dtype
                    && actual.get(k).size() == expected.get(k).size();
        }
        if (!same) {
            throw new KitException("The model returned " + Tensor.describe(actual) + " instead of "
                    + Tensor.describe(expected));
        }
    }

    private static int argmax(List<Tensor> outputs) {
        return Scores.argmax(outputs.get(0).toFloats());
    }
}
