package org.mobilekit;

/**
 * The weights of an antialiased bilinear resize along one side, for a part of the output.
 *
 * <p>A triangle as wide as the reduction (at least two pixels) is laid over the input around each
 * output pixel's centre. Weights are integers with {@link #BITS} fractional bits, because
 * Pillow's are, and the model was calibrated with Pillow's pixels: float arithmetic would differ
 * from it in the last bit of one pixel in a thousand.
 */
final class Kernel {
    static final int BITS = 22;

    /** The first input pixel of each output pixel, and its weights from there on. */
    final int[] first;
    final int[][] weights;

    /**
     * @param in pixels of the input
     * @param out pixels of the whole output
     * @param from first output pixel that is needed
     * @param count how many are needed
     */
    Kernel(int in, int out, int from, int count) {
        first = new int[count];
        weights = new int[count][];
        double scale = (double) in / out;
        double reach = Math.max(scale, 1.0);
        for (int i = 0; i < count; i++) {
            double center = (from + i + 0.5) * scale;
            int low = Math.max((int) (center - reach + 0.5), 0);
            int high = Math.min((int) (center + reach + 0.5), in);
            first[i] = low;
            weights[i] = fixed(triangle(low, high, center, reach));
        }
    }

    /** First input pixel that is needed at all. */
    int low() {
        return first[0];
    }

    /** The input pixel after the last one that is needed. */
    int high() {
        int last = first.length - 1;
        return first[last] + weights[last].length;
    }

    private static double[] triangle(int low, int high, double center, double reach) {
        double[] weights = new double[high - low];
        double sum = 0;
        for (int i = 0; i < weights.length; i++) {
            double distance = Math.abs((low + i - center + 0.5) * (1.0 / reach));
            weights[i] = distance < 1 ? 1 - distance : 0;
            sum += weights[i];
        }
        for (int i = 0; i < weights.length && sum != 0; i++) {
            weights[i] /= sum;
        }
        return weights;
    }

    private static int[] fixed(double[] weights) {
        int[] fixed = new int[weights.length];
        for (int i = 0; i < fixed.length; i++) {
            fixed[i] = (int) (0.5 + weights[i] * (1 << BITS));
        }
        return fixed;
    }
}
