package org.mobilekit;

import android.graphics.Bitmap;

/** The pixels of a bitmap; what is transparent becomes white, as in the kit. */
final class BitmapPixels implements Pixels {
    private final Bitmap bitmap;

    BitmapPixels(Bitmap bitmap) {
        // Picture loaders like those that live on the GPU only, which give no pixels.
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
                into[x] = onWhite(into[x]);
            }
        }
    }

    private static int onWhite(int pixel) {
        int alpha = pixel >>> 24;
        return alpha == 255
                ? pixel
                : (mix(pixel >> 16, alpha) << 16) | (mix(pixel >> 8, alpha) << 8)
                        | mix(pixel, alpha);
    }

    private static int mix(int channel, int alpha) {
        return ((channel & 255) * alpha + 255 * (255 - alpha) + 127) / 255;
    }
}
