package org.mobilekit;

import java.util.Arrays;

/**
 * Converts a picture to the input tensor as `bundle.json` describes: resize, centre crop, scale to
 * 0..1, normalize, arrange channels first or last. A test checks that the resize is bit-exact with
 * kit's.
 */
public final class Preprocess {
    /** Maximum pixels of a resized picture; a very narrow one would exhaust the memory. */
    private static final long MAX_PIXELS = 178_956_970;

    private static final int HALF = 1 << (Kernel.BITS - 1);

    /** The color channels of the network's input, in its order. */
    public enum Color { RGB, BGR, GREY }

    /** How the aspect ratio is handled: see `fit` in kit/manifest/preprocessing.py. */
    enum Fit { SHORTER_SIDE, COVER, STRETCH }

    /** The size of the network's input, and how pictures are resized to it. */
    static final class Size {
        final int height;
        final int width;
        private final Fit fit;
        private final int resizedHeight;
        private final int resizedWidth;
        private final Kernel.Filter filter;

        /**
         * @param height height of the centre crop
         * @param width width of the centre crop
         * @param fit how the picture is resized before the crop
         * @param resizedHeight height before the crop; for SHORTER_SIDE the length of that side
         * @param resizedWidth width before the crop; for SHORTER_SIDE the length of that side
         * @param filter the interpolation filter
         */
        Size(int height, int width, Fit fit, int resizedHeight, int resizedWidth,
                Kernel.Filter filter) {
            if (height < 1 || width < 1 || resizedHeight < height || resizedWidth < width) {
                throw new IllegalArgumentException("invalid crop of " + height + " x " + width
                        + " from " + resizedHeight + " x " + resizedWidth);
            }
            this.height = height;
            this.width = width;
            this.fit = fit;
            this.resizedHeight = resizedHeight;
            this.resizedWidth = resizedWidth;
            this.filter = filter;
        }

        /** Returns width and height of a picture after the resize. */
        private long[] resized(int pictureWidth, int pictureHeight) {
            if (fit == Fit.STRETCH) {
                return new long[] {resizedWidth, resizedHeight};
            }
            if (fit == Fit.SHORTER_SIDE) {
                return new long[] {
                    scaledSide(pictureWidth, pictureHeight),
                    scaledSide(pictureHeight, pictureWidth)};
            }
            double ratio = Math.min((double) pictureHeight / resizedHeight,
                    (double) pictureWidth / resizedWidth);
            // Like Python's round(), rint() rounds half to even.
            return new long[] {
                (long) Math.rint(pictureWidth / ratio), (long) Math.rint(pictureHeight / ratio)};
        }

        /** Returns the scaled length of a side, rounded as in torchvision. */
        private long scaledSide(int length, int other) {
            return length <= other ? resizedHeight
                    : (long) ((double) ((long) resizedHeight * length) / other);
        }
    }

    private final Size size;
    private final float[] mean;
    private final float[] std;
    private final Color color;
    private final boolean channelsLast;

    /** A square RGB input, channels first; see `fit` in kit/manifest/preprocessing.py. */
    public Preprocess(int resize, int crop, float[] mean, float[] std) {
        this(resize, crop, mean, std, Color.RGB, false);
    }

    /** A square input: the shorter side is resized by antialiased bilinear interpolation. */
    public Preprocess(
            int resize, int crop, float[] mean, float[] std, Color color, boolean channelsLast) {
        this(new Size(crop, crop, Fit.SHORTER_SIDE, resize, resize, Kernel.Filter.BILINEAR),
                mean, std, color, channelsLast);
    }

    /**
     * @param size size of the input, and how pictures are resized to it
     * @param mean mean of each channel, subtracted from values of 0..1
     * @param std standard deviation of each channel, the divisor after that
     * @param color the channels
     * @param channelsLast whether the channels are the last dimension instead of the first
     */
    Preprocess(Size size, float[] mean, float[] std, Color color, boolean channelsLast) {
        int channels = color == Color.GREY ? 1 : 3;
        if (mean.length != channels || std.length != channels) {
            throw new IllegalArgumentException(
                    "expected mean and std for " + channels + " channels, but got "
                            + mean.length + " and " + std.length);
        }
        this.size = size;
        this.color = color;
        this.channelsLast = channelsLast;
        this.mean = mean.clone();
        this.std = std.clone();
    }

    /** Height of an input, in pixels. */
    public int height() {
        return size.height;
    }

    /** Width of an input, in pixels. */
    public int width() {
        return size.width;
    }

    /** Returns the shape of the input for one picture. */
    long[] shape() {
        return channelsLast ? new long[] {1, size.height, size.width, mean.length}
                : new long[] {1, mean.length, size.height, size.width};
    }

    /** Converts a picture to the flattened input tensor of {@link #shape}. */
    public float[] input(Pixels picture) throws KitException {
        return normalize(resizeAndCrop(picture));
    }

    /** Returns the resized and cropped picture, RGB {@code [3, H, W]}, values of 0..255. */
    int[] resizeAndCrop(Pixels picture) throws KitException {
        long[] resized = size.resized(picture.width(), picture.height());
        if (resized[0] * resized[1] > MAX_PIXELS) {
            throw new KitException("The picture is too narrow: " + picture.width() + " × "
                    + picture.height() + " pixels");
        }
        int width = (int) resized[0];
        int height = (int) resized[1];
        Kernel horizontal = new Kernel(picture.width(), width, cropOffset(width, size.width),
                size.width, size.filter);
        Kernel vertical = new Kernel(picture.height(), height, cropOffset(height, size.height),
                size.height, size.filter);
        return resizeColumns(resizeRows(picture, horizontal, vertical), vertical);
    }

    private float[] normalize(int[] values) {
        int channels = mean.length;
        int plane = size.height * size.width;
        float[] input = new float[channels * plane];
        for (int channel = 0; channel < channels; channel++) {
            int from = (color == Color.BGR ? 2 - channel : channel) * plane;
            for (int i = 0; i < plane; i++) {
                int to = channelsLast ? i * channels + channel : channel * plane + i;
                input[to] = (values[from + i] / 255f - mean[channel]) / std[channel];
            }
        }
        return input;
    }

    /** Returns the offset of the crop; like Python's round(), rint() rounds half to even. */
    private static int cropOffset(int length, int crop) {
        return (int) Math.rint((length - crop) / 2.0);
    }

    /** Resizes the required input rows horizontally: {@code [row][3 * width]}. */
    private int[][] resizeRows(Pixels picture, Kernel horizontal, Kernel vertical) {
        int[][] rows = new int[vertical.inputEnd() - vertical.inputStart()][3 * size.width];
        int[] pixels = new int[horizontal.inputEnd() - horizontal.inputStart()];
        for (int y = 0; y < rows.length; y++) {
            picture.row(vertical.inputStart() + y, horizontal.inputStart(), pixels);
            if (color == Color.GREY) {
                for (int i = 0; i < pixels.length; i++) {
                    pixels[i] = luma(pixels[i]) * 0x010101;
                }
            }
            resizeRow(pixels, horizontal, rows[y]);
        }
        return rows;
    }

    /** Converts to grey by ITU-R 601 with Pillow's integer coefficients. */
    private static int luma(int pixel) {
        return (((pixel >> 16) & 255) * 19595 + ((pixel >> 8) & 255) * 38470
                + (pixel & 255) * 7471 + 0x8000) >> 16;
    }

    private void resizeRow(int[] pixels, Kernel horizontal, int[] into) {
        int crop = size.width;
        for (int x = 0; x < crop; x++) {
            int[] weights = horizontal.weights[x];
            int start = horizontal.first[x] - horizontal.inputStart();
            int red = HALF;
            int green = HALF;
            int blue = HALF;
            for (int k = 0; k < weights.length; k++) {
                int pixel = pixels[start + k];
                red += ((pixel >> 16) & 255) * weights[k];
                green += ((pixel >> 8) & 255) * weights[k];
                blue += (pixel & 255) * weights[k];
            }
            into[x] = clampToByte(red);
            into[crop + x] = clampToByte(green);
            into[2 * crop + x] = clampToByte(blue);
        }
    }

    private int[] resizeColumns(int[][] rows, Kernel vertical) {
        int crop = size.width;
        int[] picture = new int[3 * size.height * crop];
        int[] sums = new int[3 * crop];
        for (int y = 0; y < size.height; y++) {
            Arrays.fill(sums, HALF);
            for (int k = 0; k < vertical.weights[y].length; k++) {
                int[] row = rows[vertical.first[y] - vertical.inputStart() + k];
                int weight = vertical.weights[y][k];
                for (int i = 0; i < sums.length; i++) {
                    sums[i] += row[i] * weight;
                }
            }
            for (int i = 0; i < sums.length; i++) {
                picture[(i / crop * size.height + y) * crop + i % crop] = clampToByte(sums[i]);
            }
        }
        return picture;
    }

    private static int clampToByte(int sum) {
        return Math.min(Math.max(sum >> Kernel.BITS, 0), 255);
    }
}
