package org.mobilekit;

import java.util.Arrays;

/**
 * From a picture to the input tensor, as `bundle.json` describes it: antialiased bilinear resize
 * of the shorter side, centre crop, 0..1, normalize, channels first or last. A test holds the
 * resize to the kit's own, bit by bit.
 */
public final class Preprocess {
    /** Pixels of a resized picture above which a strip-like picture would fill the memory. */
    private static final long MOST = 178_956_970;

    private static final int ROUND = 1 << (Kernel.BITS - 1);

    /** The channels of a network's pictures, in its order. */
    public enum Color { RGB, BGR, GREY }

    public final int resize;
    public final int crop;
    private final float[] mean;
    private final float[] std;
    private final Color color;
    private final boolean last;

    /** Channels are red, green and blue, and come first. */
    public Preprocess(int resize, int crop, float[] mean, float[] std) {
        this(resize, crop, mean, std, Color.RGB, false);
    }

    /**
     * @param resize length of the shorter side after the resize, in pixels
     * @param crop side of the centre crop, in pixels
     * @param mean of each channel, subtracted from values of 0..1
     * @param std of each channel, divided by afterwards
     * @param color the channels
     * @param last whether the channels are the last dimension, instead of the first
     */
    public Preprocess(
            int resize, int crop, float[] mean, float[] std, Color color, boolean last) {
        int channels = color == Color.GREY ? 1 : 3;
        if (crop < 1 || resize < crop || mean.length != channels || std.length != channels) {
            throw new IllegalArgumentException("resize " + resize + ", crop " + crop + ", "
                    + mean.length + " and " + std.length + " numbers for " + channels);
        }
        this.color = color;
        this.last = last;
        this.resize = resize;
        this.crop = crop;
        this.mean = mean.clone();
        this.std = std.clone();
    }

    /** The shape of an input of one picture. */
    long[] shape() {
        return last ? new long[] {1, crop, crop, mean.length}
                : new long[] {1, mean.length, crop, crop};
    }

    /** Returns the input of a picture, row by row, in the {@link #shape}. */
    public float[] input(Pixels picture) throws KitException {
        return normalized(cropped(picture));
    }

    /** Returns the resized and cropped picture, RGB {@code [3, crop, crop]}, values of 0..255. */
    int[] cropped(Pixels picture) throws KitException {
        int width = side(picture.width(), picture.height());
        int height = side(picture.height(), picture.width());
        if ((long) width * height > MOST) {
            throw new KitException("The picture is too narrow: " + picture.width() + " × "
                    + picture.height() + " pixels");
        }
        Kernel across = new Kernel(picture.width(), width, middle(width), crop);
        Kernel down = new Kernel(picture.height(), height, middle(height), crop);
        return columns(rows(picture, across, down), down);
    }

    private float[] normalized(int[] values) {
        int channels = mean.length;
        int plane = crop * crop;
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

    /** The length of a side once the shorter one is {@code resize}, rounded as torchvision does. */
    private int side(int length, int other) {
        return length <= other ? resize : (int) ((double) ((long) resize * length) / other);
    }

    /** The first pixel of the crop; Python's round() goes to the even neighbour. */
    private int middle(int length) {
        return (int) Math.rint((length - crop) / 2.0);
    }

    /** The needed rows of the input, resized along x to the crop: {@code [row][3 * crop]}. */
    private int[][] rows(Pixels picture, Kernel across, Kernel down) {
        int[][] rows = new int[down.high() - down.low()][3 * crop];
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
        int[] picture = new int[3 * crop * crop];
        int[] sums = new int[3 * crop];
        for (int y = 0; y < crop; y++) {
            Arrays.fill(sums, ROUND);
            for (int k = 0; k < down.weights[y].length; k++) {
                int[] row = rows[down.first[y] - down.low() + k];
                int weight = down.weights[y][k];
                for (int i = 0; i < sums.length; i++) {
                    sums[i] += row[i] * weight;
                }
            }
            for (int i = 0; i < sums.length; i++) {
                picture[(i / crop * crop + y) * crop + i % crop] = level(sums[i]);
            }
        }
        return picture;
    }

    private static int level(int sum) {
        return Math.min(Math.max(sum >> Kernel.BITS, 0), 255);
    }
}
