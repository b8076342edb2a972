package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.graphics.Bitmap;
import android.graphics.Color;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** Tests decoding, orientation and transparency with Android's decoder. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class PicturesTest {
    private static final int WIDTH = 3;
    private static final int HEIGHT = 2;
    private static final int ROUNDING_LEVELS = 2;

    /** Returns a picture whose pixels encode their position: 10 * y + x in blue. */
    private static Bitmap numbered() {
        Bitmap bitmap = Bitmap.createBitmap(WIDTH, HEIGHT, Bitmap.Config.ARGB_8888);
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < WIDTH; x++) {
                bitmap.setPixel(x, y, Color.rgb(0, 0, 10 * y + x));
            }
        }
        return bitmap;
    }

    @Test
    public void appliesAllExifOrientations() throws Exception {
        // Stored positions of the upper left and upper right pixel of the upright picture.
        int[][] corners = {{0, 2}, {2, 0}, {12, 10}, {10, 12}, {0, 10}, {10, 0}, {12, 2}, {2, 12}};
        for (int orientation = 1; orientation <= 8; orientation++) {
            Bitmap upright = Pictures.applyOrientation(numbered(), orientation);
            String name = "orientation " + orientation;
            assertEquals(name, orientation < 5 ? WIDTH : HEIGHT, upright.getWidth());
            assertEquals(name, corners[orientation - 1][0], upright.getPixel(0, 0) & 255);
            assertEquals(name, corners[orientation - 1][1],
                    upright.getPixel(upright.getWidth() - 1, 0) & 255);
        }
    }

    @Test
    public void aPortraitPhotoIsRotated() throws Exception {
        Bitmap wide = Bitmap.createBitmap(32, 16, Bitmap.Config.ARGB_8888);
        wide.eraseColor(Color.RED);
        ByteArrayOutputStream jpeg = new ByteArrayOutputStream();
        wide.compress(Bitmap.CompressFormat.JPEG, 90, jpeg);
        byte[] rotated = withOrientation(jpeg.toByteArray(), 6);
        Bitmap upright = Pictures.decode(() -> new ByteArrayInputStream(rotated));
        assertEquals(16, upright.getWidth());
        assertEquals(32, upright.getHeight());
    }

    /** Inserts an EXIF segment after the first two bytes of a JPEG. */
    private static byte[] withOrientation(byte[] jpeg, int orientation) throws Exception {
        byte[] exif = {
            (byte) 0xff, (byte) 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0,
            'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
            0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, (byte) orientation, 0, 0, 0, 0, 0, 0
        };
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(jpeg, 0, 2);
        out.write(exif);
        out.write(jpeg, 2, jpeg.length - 2);
        return out.toByteArray();
    }

    /** JPEG decoding, orientation and profile give the pixels that kit calibrated with. */
    @Test
    public void photosWithoutAProfileEqualKits() throws Exception {
        for (Path photo : photos("same")) {
            assertEquals(photo + ": largest difference in levels", 0, maxDifference(photo));
        }
    }

    /** Skia (here) and Little CMS (kit) round differently when they convert to sRGB. */
    @Test
    public void photosInWideGamutsAreConvertedAsInKit() throws Exception {
        for (Path photo : photos("converted")) {
            int max = maxDifference(photo);
            assertTrue(photo + ": " + max + " levels", max <= ROUNDING_LEVELS);
        }
    }

    private static List<Path> photos(String kind) throws Exception {
        try (Stream<Path> files = Files.list(Samples.folder().resolve("photos").resolve(kind))) {
            List<Path> photos = files.filter(file -> file.toString().endsWith(".jpg"))
                    .collect(Collectors.toList());
            assertFalse(photos.isEmpty());
            return photos;
        }
    }

    /** Returns the largest difference of a value of 0..255 from kit's pixels of a photo. */
    private static int maxDifference(Path photo) throws Exception {
        Bundle bundle = Bundle.open(Samples.BUNDLE, Store.folder(
                Samples.folder().resolve("assets/bundles").resolve(Samples.BUNDLE).toFile()));
        Bitmap bitmap = Pictures.decode(() -> Files.newInputStream(photo));
        int[] actual = bundle.preprocess().resizeAndCrop(new BitmapPixels(bitmap));
        byte[] expected = Files.readAllBytes(
                Paths.get(photo.toString().replace(".jpg", ".u8")));
        assertEquals(expected.length, actual.length);
        int max = 0;
        for (int i = 0; i < actual.length; i++) {
            max = Math.max(max, Math.abs((expected[i] & 255) - actual[i]));
        }
        return max;
    }

    @Test
    public void transparentPixelsBecomeWhite() {
        Bitmap bitmap = Bitmap.createBitmap(3, 1, Bitmap.Config.ARGB_8888);
        bitmap.setPixel(0, 0, 0x00000000);
        bitmap.setPixel(1, 0, 0x80000000);
        bitmap.setPixel(2, 0, 0xff102030);
        int[] row = new int[3];
        new BitmapPixels(bitmap).row(0, 0, row);
        for (int i = 0; i < row.length; i++) {
            row[i] &= 0xffffff;
        }
        assertArrayEquals(new int[] {0xffffff, 0x7f7f7f, 0x102030}, row);
    }

    @Test
    public void noPictureTakesMoreThan100Megabytes() {
        int[][] sizes = {{4000, 3000, 1}, {5000, 5000, 1}, {8160, 6120, 2}, {12000, 9000, 4},
            {16320, 12240, 4}, {65535, 65535, 16}};
        for (int[] size : sizes) {
            assertEquals(size[2], Pictures.sampleSize(size[0], size[1]));
        }
    }

    @Test
    public void unreadablePicturesAreRejected() throws Exception {
        byte[] truncated = Arrays.copyOf(png(), 40);
        for (byte[] data : new byte[][] {{}, {1, 2, 3}, "<svg/>".getBytes("UTF-8"), truncated}) {
            assertThrows(KitException.class,
                    () -> Pictures.decode(() -> new ByteArrayInputStream(data)));
        }
        KitException e = assertThrows(KitException.class, () -> Pictures.decode(() -> {
            throw new FileNotFoundException("gone");
        }));
        assertTrue(e.getMessage(), e.getMessage().contains("gone"));
        assertThrows(KitException.class, () -> Pictures.decode(() -> null));
        assertThrows(KitException.class, () -> Pictures.decode(() -> {
            throw new SecurityException("not yours");
        }));
    }

    private static byte[] png() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        numbered().compress(Bitmap.CompressFormat.PNG, 100, out);
        return out.toByteArray();
    }
}
