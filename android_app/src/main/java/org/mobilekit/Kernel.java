package org.mobilekit;

/**
 * The weights of a resize along one side, for a part of the output.
 *
 * <p>A filter as wide as the reduction is laid over the input around each output pixel's centre. Weights are integers with {@link #BITS} fractional bits, because
 * Pillow's are, and the model was calibrated with Pillow's pixels: float arithmetic would differ
 * from it in the last bit of one pixel in a thousand.
 */
final class Kernel {
    static final int BITS = 22;

    /** How Pillow resizes: the reach of a filter in pixels, and its height at a distance. */
    enum Filter {
        BILINEAR(1) {
            @Override
            double at(double x) {
                return x < 1 ? 1 - x : 0;
            }
        },
        /** Keys' cubic convolution with a = -1/2. */
        BICUBIC(2) {
            @Override
            double at(double x) {
                if (x < 1) {
                    return ((SHARPNESS + 2) * x - (SHARPNESS + 3)) * x * x + 1;
                }
                return x < 2 ? (((x - 5) * x + 8) * x - 4) * SHARPNESS : 0;
            }
        },
        /** Pillow has another way for this one, see {@link Kernel#nearest}. */
        NEAREST(0) {
            @Override
            double at(double x) {
                return 1;
            }
        };

        private static final double SHARPNESS = -0.5;

        final double reach;

        Filter(double reach) {
            this.reach = reach;
        }

        /** The height at a distance of 0 or more. */
        abstract double at(double distance);
    }

    /** The first input pixel of each output pixel, and its weights from there on. */
    final int[] first;
    final int[][] weights;

    /**
     * @param in pixels of the input
     * @param out pixels of the whole output
     * @param from first output pixel that is needed
     * @param count how many are needed
     * @param filter how pixels between are made
     */
    Kernel(int in, int out, int from, int count, Filter filter) {
        first = new int[count];
        weights = new int[count][];
        double scale = (double) in / out;
        if (filter == Filter.NEAREST) {
            nearest(in, scale, from);
            return;
        }
        double stretch = Math.max(scale, 1.0);
        double reach = filter.reach * stretch;
        for (int i = 0; i < count; i++) {
            double center = (from + i + 0.5) * scale;
            int low = Math.max((int) (center - reach + 0.5), 0);
            int high = Math.min((int) (center + reach + 0.5), in);
            first[i] = low;
            weights[i] = fixed(heights(filter, low, high, center, stretch));
        }
    }

    /** Takes one pixel for each, found by adding up as Pillow's ImagingScaleAffine does. */
    private void nearest(int in, double scale, int from) {
        double place = scale * 0.5;
        for (int i = 0; i < from; i++) {
            place += scale;
        }
        for (int i = 0; i < first.length; i++) {
            first[i] = Math.min((int) place, in - 1);
            weights[i] = new int[] {1 << BITS};
            place += scale;
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

    private static double[] heights(
            Filter filter, int low, int high, double center, double stretch) {
        double[] weights = new double[high - low];
        double sum = 0;
        for (int i = 0; i < weights.length; i++) {
            weights[i] = filter.at(Math.abs((low + i - center + 0.5) * (1.0 / stretch)));
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
            double exact = weights[i] * (1 << BITS);
            fixed[i] = (int) (exact < 0 ? exact - 0.5 : exact + 0.5);
        }
        return fixed;
    }
}
