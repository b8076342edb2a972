package org.mobilekit;

import android.graphics.Bitmap;

/** The pixels of a bitmap, blended onto white where they are transparent, as kit does. */
final class BitmapPixels implements Pixels {
    private final Bitmap bitmap;

    BitmapPixels(Bitmap bitmap) {
        // Image loaders often return hardware bitmaps, whose pixels cannot be read.
        this.bitmap = bitmap.getConfig() == Bitmap.Config.HARDWARE
                ? bitmap.copy(Bitmap.Config.ARGB_8888, false) : bitmap;
    }

    @Override
    public int width() {
        return bitmap.getWidth();
    }

    @Override
    public int height() {
        return bitmap.getHeight();
    }

    @Override
    public void row(int y, int left, int[] into) {
        bitmap.getPixels(into, 0, into.length, left, y, into.length, 1);
        if (bitmap.hasAlpha()) {
            for (int x = 0; x < into.length; x++) {
                into[x] = blendOntoWhite(into[x]);
            }
        }
    }

    private static int blendOntoWhite(int pixel) {
        int alpha = pixel >>> 24;
        return alpha == 255
                ? pixel
                : (blend(pixel >> 16, alpha) << 16) | (blend(pixel >> 8, alpha) << 8)
                        | blend(pixel, alpha);
    }

    private static int blend(int channel, int alpha) {
        return ((channel & 255) * alpha + 255 * (255 - alpha) + 127) / 255;
    }
}
