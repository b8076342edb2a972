package org.mobilekit;

/**
 * The weights of a resize along one dimension, for a range of the output.
 *
 * <p>The filter is centred on each output pixel and scaled by the reduction factor. Weights are
 * fixed-point integers with {@link #BITS} fractional bits, as in Pillow, because the model was
 * calibrated with Pillow's pixels: float arithmetic would change the last bit of one pixel in a
 * thousand.
 */
final class Kernel {
    static final int BITS = 22;

    /** Pillow's filters: the support in pixels, and the weight at a distance. */
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
        /** Pillow handles this filter separately, see {@link Kernel#initNearest}. */
        NEAREST(0) {
            @Override
            double at(double x) {
                return 1;
            }
        };

        private static final double SHARPNESS = -0.5;

        final double support;

        Filter(double support) {
            this.support = support;
        }

        /** Returns the weight at a distance of 0 or more. */
        abstract double at(double distance);
    }

    /** The first input pixel of each output pixel, and the weights of it and the following ones. */
    final int[] first;
    final int[][] weights;

    /**
     * @param in size of the input in pixels
     * @param out size of the whole output in pixels
     * @param from first output pixel to compute
     * @param count number of output pixels to compute
     * @param filter the interpolation filter
     */
    Kernel(int in, int out, int from, int count, Filter filter) {
        first = new int[count];
        weights = new int[count][];
        double scale = (double) in / out;
        if (filter == Filter.NEAREST) {
            initNearest(in, scale, from);
            return;
        }
        double filterScale = Math.max(scale, 1.0);
        double support = filter.support * filterScale;
        for (int i = 0; i < count; i++) {
            double center = (from + i + 0.5) * scale;
            int start = Math.max((int) (center - support + 0.5), 0);
            int end = Math.min((int) (center + support + 0.5), in);
            first[i] = start;
            weights[i] = toFixedPoint(sampleFilter(filter, start, end, center, filterScale));
        }
    }

    /** Uses one input pixel each, with positions accumulated as in Pillow's ImagingScaleAffine. */
    private void initNearest(int in, double scale, int from) {
        double position = scale * 0.5;
        for (int i = 0; i < from; i++) {
            position += scale;
        }
        for (int i = 0; i < first.length; i++) {
            first[i] = Math.min((int) position, in - 1);
            weights[i] = new int[] {1 << BITS};
            position += scale;
        }
    }

    /** Returns the first input pixel that is used. */
    int inputStart() {
        return first[0];
    }

    /** Returns the input pixel after the last one that is used. */
    int inputEnd() {
        int last = first.length - 1;
        return first[last] + weights[last].length;
    }

    private static double[] sampleFilter(
            Filter filter, int start, int end, double center, double filterScale) {
        double[] weights = new double[end - start];
        double sum = 0;
        for (int i = 0; i < weights.length; i++) {
            weights[i] = filter.at(Math.abs((start + i - center + 0.5) * (1.0 / filterScale)));
            sum += weights[i];
        }
        for (int i = 0; i < weights.length && sum != 0; i++) {
            weights[i] /= sum;
        }
        return weights;
    }

    private static int[] toFixedPoint(double[] weights) {
        int[] fixed = new int[weights.length];
        for (int i = 0; i < fixed.length; i++) {
            double exact = weights[i] * (1 << BITS);
            fixed[i] = (int) (exact < 0 ? exact - 0.5 : exact + 0.5);
        }
        return fixed;
    }
}
