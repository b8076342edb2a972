package org.mobilekit;

import java.util.Arrays;

/**
 * From a picture to the input tensor, as `bundle.json` describes it: resize, centre crop, 0..1,
 * normalize, channels first or last. A test holds the resize to the kit's own, bit by bit.
 */
public final class Preprocess {
    /** Pixels of a resized picture above which a strip-like picture would fill the memory. */
    private static final long MOST = 178_956_970;

    private static final int ROUND = 1 << (Kernel.BITS - 1);

    /** The channels of a network's pictures, in its order. */
    public enum Color { RGB, BGR, GREY }

    /** What becomes of a picture's shape: see `fit` in kit/manifest.py. */
    enum Fit { SHORTER_SIDE, COVER, STRETCH }

    /** The size of a network's pictures, and how pictures of any size get it. */
    static final class Size {
        final int height;
        final int width;
        private final Fit fit;
        private final int resizedHeight;
        private final int resizedWidth;
        private final Kernel.Filter filter;

        /**
         * @param height of the centre crop
         * @param width of the centre crop
         * @param fit how the picture gets the size from which it is cropped
         * @param resizedHeight that size; of the fit by the shorter side its length
         * @param resizedWidth that size; of the fit by the shorter side its length
         * @param filter how pixels between are made
         */
        Size(int height, int width, Fit fit, int resizedHeight, int resizedWidth,
                Kernel.Filter filter) {
            if (height < 1 || width < 1 || resizedHeight < height || resizedWidth < width) {
                throw new IllegalArgumentException("a crop of " + height + " x " + width
                        + " from " + resizedHeight + " x " + resizedWidth);
            }
            this.height = height;
            this.width = width;
            this.fit = fit;
            this.resizedHeight = resizedHeight;
            this.resizedWidth = resizedWidth;
            this.filter = filter;
        }

        /** Width and height of a picture after the resize. */
        private long[] resized(int pictureWidth, int pictureHeight) {
            if (fit == Fit.STRETCH) {
                return new long[] {resizedWidth, resizedHeight};
            }
            if (fit == Fit.SHORTER_SIDE) {
                return new long[] {
                    shorter(pictureWidth, pictureHeight), shorter(pictureHeight, pictureWidth)};
            }
            double ratio = Math.min((double) pictureHeight / resizedHeight,
                    (double) pictureWidth / resizedWidth);
            // Python's round() goes to the even neighbour.
            return new long[] {
                (long) Math.rint(pictureWidth / ratio), (long) Math.rint(pictureHeight / ratio)};
        }

        /** The length of a side once the shorter one has its length, rounded as torchvision does. */
        private long shorter(int length, int other) {
            return length <= other ? resizedHeight
                    : (long) ((double) ((long) resizedHeight * length) / other);
        }
    }

    private final Size size;
    private final float[] mean;
    private final float[] std;
    private final Color color;
    private final boolean last;

    /** A square of red, green and blue, which come first; see `shorter-side` in kit/manifest.py. */
    public Preprocess(int resize, int crop, float[] mean, float[] std) {
        this(resize, crop, mean, std, Color.RGB, false);
    }

    /** A square from a picture whose shorter side is resized, by antialiased bilinear pixels. */
    public Preprocess(
            int resize, int crop, float[] mean, float[] std, Color color, boolean last) {
        this(new Size(crop, crop, Fit.SHORTER_SIDE, resize, resize, Kernel.Filter.BILINEAR),
                mean, std, color, last);
    }

    /**
     * @param size of the input, and how pictures get it
     * @param mean of each channel, subtracted from values of 0..1
     * @param std of each channel, divided by afterwards
     * @param color the channels
     * @param last whether the channels are the last dimension, instead of the first
     */
    Preprocess(Size size, float[] mean, float[] std, Color color, boolean last) {
        int channels = color == Color.GREY ? 1 : 3;
        if (mean.length != channels || std.length != channels) {
            throw new IllegalArgumentException(
                    mean.length + " and " + std.length + " numbers for " + channels);
        }
        this.size = size;
        this.color = color;
        this.last = last;
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

    /** The shape of an input of one picture. */
    long[] shape() {
        return last ? new long[] {1, size.height, size.width, mean.length}
                : new long[] {1, mean.length, size.height, size.width};
    }

    /** Returns the input of a picture, row by row, in the {@link #shape}. */
    public float[] input(Pixels picture) throws KitException {
        return normalized(cropped(picture));
    }

    /** Returns the resized and cropped picture, RGB {@code [3, H, W]}, values of 0..255. */
    int[] cropped(Pixels picture) throws KitException {
        long[] resized = size.resized(picture.width(), picture.height());
        if (resized[0] * resized[1] > MOST) {
            throw new KitException("The picture is too narrow: " + picture.width() + " × "
                    + picture.height() + " pixels");
        }
        int width = (int) resized[0];
        int height = (int) resized[1];
        Kernel across = new Kernel(picture.width(), width, middle(width, size.width), size.width,
                size.filter);
        Kernel down = new Kernel(picture.height(), height, middle(height, size.height),
                size.height, size.filter);
        return columns(rows(picture, across, down), down);
    }

    private float[] normalized(int[] values) {
        int channels = mean.length;
        int plane = size.height * size.width;
        float[] input = new float[channels * plane];
        for (int channel = 0; channel < channels; channel++) {
            int from = (color == Color.BGR ? 2 - channel : channel) * plane;
            for (int i = 0; i < plane; i++) {
                int to = last ? i * channels + channel : channel * plane + i;
                input[to] = (values[from + i] / 255f - mean[channel]) / std[channel];
            }
        }
        return input;
    }

    /** The first pixel of the crop; Python's round() goes to the even neighbour. */
    private static int middle(int length, int crop) {
        return (int) Math.rint((length - crop) / 2.0);
    }

    /** The needed rows of the input, resized along x to the crop: {@code [row][3 * width]}. */
    private int[][] rows(Pixels picture, Kernel across, Kernel down) {
        int[][] rows = new int[down.high() - down.low()][3 * size.width];
        int[] pixels = new int[across.high() - across.low()];
        for (int y = 0; y < rows.length; y++) {
            picture.row(down.low() + y, across.low(), pixels);
            if (color == Color.GREY) {
                for (int i = 0; i < pixels.length; i++) {
                    pixels[i] = luma(pixels[i]) * 0x010101;
                }
            }
            resizeRow(pixels, across, rows[y]);
        }
        return rows;
    }

    /** Grey by ITU-R 601, with Pillow's integers. */
    private static int luma(int pixel) {
        return (((pixel >> 16) & 255) * 19595 + ((pixel >> 8) & 255) * 38470
                + (pixel & 255) * 7471 + 0x8000) >> 16;
    }

    private void resizeRow(int[] pixels, Kernel across, int[] into) {
        int crop = size.width;
        for (int x = 0; x < crop; x++) {
            int[] weights = across.weights[x];
            int start = across.first[x] - across.low();
            int red = ROUND;
            int green = ROUND;
            int blue = ROUND;
            for (int k = 0; k < weights.length; k++) {
                int pixel = pixels[start + k];
                red += ((pixel >> 16) & 255) * weights[k];
                green += ((pixel >> 8) & 255) * weights[k];
                blue += (pixel & 255) * weights[k];
            }
            into[x] = level(red);
            into[crop + x] = level(green);
            into[2 * crop + x] = level(blue);
        }
    }

    private int[] columns(int[][] rows, Kernel down) {
        int crop = size.width;
        int[] picture = new int[3 * size.height * crop];
        int[] sums = new int[3 * crop];
        for (int y = 0; y < size.height; y++) {
            Arrays.fill(sums, ROUND);
            for (int k = 0; k < down.weights[y].length; k++) {
                int[] row = rows[down.first[y] - down.low() + k];
                int weight = down.weights[y][k];
                for (int i = 0; i < sums.length; i++) {
                    sums[i] += row[i] * weight;
                }
            }
            for (int i = 0; i < sums.length; i++) {
                picture[(i / crop * size.height + y) * crop + i % crop] = level(sums[i]);
            }
        }
        return picture;
    }

    private static int level(int sum) {
        return Math.min(Math.max(sum >> Kernel.BITS, 0), 255);
    }
}
