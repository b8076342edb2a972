package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.awt.image.BufferedImage;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.imageio.ImageIO;
import org.json.JSONObject;
import org.junit.Test;

/** Compares pixels with Python's for ten pictures, and with values computed by hand. */
public final class PreprocessTest {
    private static final float[] ZERO = {0, 0, 0};
    private static final float[] ONE = {1, 1, 1};

    private static Pixels pixels(BufferedImage image) {
        return new Pixels() {
            @Override
            public int width() {
                return image.getWidth();
            }

            @Override
            public int height() {
                return image.getHeight();
            }

            @Override
            public void row(int y, int left, int[] into) {
                image.getRGB(left, y, into.length, 1, into, 0, into.length);
            }
        };
    }

    private static BufferedImage grey(int width, int height, int... levels) {
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        for (int i = 0; i < levels.length; i++) {
            image.setRGB(i % width, i / width, levels[i] * 0x010101);
        }
        return image;
    }

    private static Preprocess ofBundle() throws Exception {
        Path file = Samples.folder().resolve("assets/bundles/sample/bundle.json");
        String text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        return new Manifest(new JSONObject(text)).preprocess;
    }

    @Test
    public void resizedPixelsEqualPythons() throws Exception {
        Path folder = Samples.folder().resolve("pictures");
        Preprocess preprocess = ofBundle();
        for (int i = 0; i < 10; i++) {
            BufferedImage image = ImageIO.read(folder.resolve(i + ".png").toFile());
            byte[] expected = Files.readAllBytes(folder.resolve(i + ".u8"));
            int[] actual = preprocess.resizeAndCrop(pixels(image));
            assertEquals(expected.length, actual.length);
            for (int k = 0; k < actual.length; k++) {
                assertEquals("picture " + i + ", value " + k, expected[k] & 255, actual[k]);
            }
        }
    }

    @Test
    public void everyFitAndInterpolationEqualsPythons() throws Exception {
        File[] variants = Samples.folder().resolve("resizes").toFile().listFiles();
        assertEquals(6, variants.length);
        for (File variant : variants) {
            byte[] text = Files.readAllBytes(variant.toPath().resolve("preprocessing.json"));
            Preprocess preprocess = Manifest.preprocess(
                    new JSONObject(new String(text, StandardCharsets.UTF_8)));
            for (int i = 0; i < 10; i++) {
                BufferedImage image = ImageIO.read(
                        Samples.folder().resolve("pictures").resolve(i + ".png").toFile());
                byte[] expected = Files.readAllBytes(variant.toPath().resolve(i + ".u8"));
                int[] actual = preprocess.resizeAndCrop(pixels(image));
                assertEquals(3 * preprocess.height() * preprocess.width(), expected.length);
                for (int k = 0; k < actual.length; k++) {
                    assertEquals(variant.getName() + ", picture " + i + ", value " + k,
                            expected[k] & 255, actual[k]);
                }
            }
        }
    }

    @Test
    public void inputsEqualPythons() throws Exception {
        Path folder = Samples.folder().resolve("pictures");
        Preprocess preprocess = ofBundle();
        for (int i = 0; i < 10; i++) {
            BufferedImage image = ImageIO.read(folder.resolve(i + ".png").toFile());
            assertArrayEquals("picture " + i, Samples.floats(folder.resolve(i + ".f32")),
                    preprocess.input(pixels(image)), 0f);
        }
    }

    @Test
    public void channelsFollowTheNetworksOrder() throws Exception {
        BufferedImage image = new BufferedImage(2, 1, BufferedImage.TYPE_INT_RGB);
        image.setRGB(0, 0, 0x336699);
        image.setRGB(1, 0, 0x336699);
        float[] mean = {0.2f, 0.4f, 0.6f};
        float[] bgr = {(153 / 255f - 0.2f), (102 / 255f - 0.4f), (51 / 255f - 0.6f)};
        assertArrayEquals(bgr, new Preprocess(1, 1, mean, ONE, Preprocess.Color.BGR, false)
                .input(pixels(image)), 0f);
        // Channels last: the three channels of each pixel are adjacent.
        BufferedImage four = new BufferedImage(2, 2, BufferedImage.TYPE_INT_RGB);
        four.setRGB(0, 0, 0xff0000);
        four.setRGB(1, 0, 0x0000ff);
        Preprocess channelsLast = new Preprocess(2, 2, ZERO, ONE, Preprocess.Color.RGB, true);
        assertArrayEquals(new float[] {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0},
                channelsLast.input(pixels(four)), 0f);
        assertArrayEquals(new long[] {1, 2, 2, 3}, channelsLast.shape());
    }

    @Test
    public void greyEqualsPillows() throws Exception {
        BufferedImage image = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB);
        Preprocess grey = new Preprocess(1, 1, new float[1], new float[] {1},
                Preprocess.Color.GREY, false);
        int[][] pairs = {{0xff0000, 76}, {0x00ff00, 150}, {0x0000ff, 29}, {0x336699, 93}};
        for (int[] pair : pairs) {
            image.setRGB(0, 0, pair[0]);
            assertArrayEquals(new float[] {pair[1] / 255f}, grey.input(pixels(image)), 0f);
        }
        assertArrayEquals(new long[] {1, 1, 1, 1}, grey.shape());
    }

    @Test
    public void unsupportedPreprocessingIsRejected() throws Exception {
        String text = "{'resize': 8, 'crop': 8, 'interpolation': 'bilinear-antialias',"
                + " 'color': '%s', 'layout': '%s', 'mean': [0, 0, 0], 'std': [1, 1, 1]}";
        Preprocess supported = Manifest.preprocess(
                new JSONObject(String.format(text, "BGR", "NHWC")));
        assertArrayEquals(new long[] {1, 8, 8, 3}, supported.shape());
        KitException e = assertThrows(KitException.class, () -> Manifest.preprocess(
                new JSONObject(String.format(text, "HSV", "NCHW"))));
        assertEquals("This app does not support this preprocessing: bilinear-antialias"
                + " shorter-side HSV NCHW", e.getMessage());
    }

    @Test
    public void halvingUsesTheTriangleFilter() throws Exception {
        // Four pixels to two: weights 3/8 3/8 1/8 around each centre (and 1/8 outside, dropped).
        int[] actual = new Preprocess(2, 2, ZERO, ONE).resizeAndCrop(pixels(grey(4, 4,
                0, 80, 160, 240, 0, 80, 160, 240, 0, 80, 160, 240, 0, 80, 160, 240)));
        int left = Math.round((0 * 3 + 80 * 3 + 160) / 7f);
        int right = Math.round((80 + 160 * 3 + 240 * 3) / 7f);
        assertArrayEquals(new int[] {left, right, left, right,
            left, right, left, right, left, right, left, right}, actual);
    }

    @Test
    public void sameSizeChangesNothing() throws Exception {
        int[] actual = new Preprocess(2, 2, ZERO, ONE).resizeAndCrop(
                pixels(grey(2, 2, 1, 2, 3, 255)));
        assertArrayEquals(new int[] {1, 2, 3, 255, 1, 2, 3, 255, 1, 2, 3, 255}, actual);
    }

    @Test
    public void channelsAreRedGreenBlue() throws Exception {
        BufferedImage image = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB);
        image.setRGB(0, 0, 0x33_66_99);
        float[] mean = {0.1f, 0.2f, 0.3f};
        float[] std = {0.5f, 0.25f, 0.125f};
        float[] actual = new Preprocess(1, 1, mean, std).input(pixels(image));
        assertArrayEquals(new float[] {
            (0x33 / 255f - 0.1f) / 0.5f, (0x66 / 255f - 0.2f) / 0.25f, (0x99 / 255f - 0.3f) / 0.125f
        }, actual, 0f);
    }

    @Test
    public void oddMarginsRoundHalfToEven() throws Exception {
        // Width 5, crop 2: the margin is 1.5, and Python's round(1.5) is 2.
        BufferedImage image = grey(5, 2, 0, 10, 20, 30, 40, 0, 10, 20, 30, 40);
        int[] actual = new Preprocess(2, 2, ZERO, ONE).resizeAndCrop(pixels(image));
        assertEquals(20, actual[0]);
        assertEquals(30, actual[1]);
    }

    @Test
    public void aNarrowStripIsRejected() {
        KitException e = assertThrows(KitException.class, () ->
                new Preprocess(224, 224, ZERO, ONE).resizeAndCrop(pixels(grey(1, 40_000))));
        assertTrue(e.getMessage(), e.getMessage().contains("1 × 40000"));
    }
}
