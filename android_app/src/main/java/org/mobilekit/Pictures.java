package org.mobilekit;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Matrix;
import android.media.ExifInterface;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.Callable;

/** Decodes pictures to upright bitmaps. */
public final class Pictures {
    /** Pictures with more pixels are subsampled while decoding, to stay below 100 MB. */
    private static final long MAX_PIXELS = 25_000_000;

    private static final String TOO_LARGE = "This picture is too large for the device's memory";

    private Pictures() {}

    /**
     * Decodes a picture and applies its EXIF orientation.
     *
     * @param source opens the stream; called up to three times
     */
    public static Bitmap decode(Callable<InputStream> source) throws KitException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inJustDecodeBounds = true;
        read(source, options);
        if (options.outWidth < 1 || options.outHeight < 1) {
            throw new KitException("This file is not a picture that the device can decode");
        }
        options.inJustDecodeBounds = false;
        options.inSampleSize = sampleSize(options.outWidth, options.outHeight);
        Bitmap bitmap = read(source, options);
        if (bitmap == null) {
            throw new KitException("This picture is damaged");
        }
        Bitmap upright = applyOrientation(bitmap, orientation(source));
        if (upright != bitmap) {
            bitmap.recycle(); // now, because each may take 100 MB
        }
        return upright;
    }

    /** Returns the subsampling factor: 1 keeps every pixel, 2 every second, 4 every fourth. */
    static int sampleSize(int width, int height) {
        int factor = 1;
        for (long pixels = (long) width * height; pixels > MAX_PIXELS; pixels /= 4) {
            factor *= 2;
        }
        return factor;
    }

    private static Bitmap read(Callable<InputStream> source, BitmapFactory.Options options)
            throws KitException {
        try (InputStream in = new BufferedInputStream(open(source))) {
            return BitmapFactory.decodeStream(in, null, options);
        } catch (OutOfMemoryError e) {
            throw new KitException(TOO_LARGE, e);
        } catch (IOException e) {
            throw new KitException("Cannot read the picture: " + e.getMessage(), e);
        }
    }

    private static InputStream open(Callable<InputStream> source) throws KitException {
        InputStream in;
        try {
            in = source.call();
        } catch (KitException e) {
            throw e;
        } catch (Exception e) { // content providers of other apps throw arbitrary exceptions
            throw new KitException("Cannot open the picture: " + e.getMessage(), e);
        }
        if (in == null) {
            throw new KitException("The app that owns the picture returned no data");
        }
        return in;
    }

    private static int orientation(Callable<InputStream> source) throws KitException {
        try (InputStream in = new BufferedInputStream(open(source))) {
            return new ExifInterface(in).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1);
        } catch (IOException e) {
            return 1; // no EXIF data
        }
    }

    /** Rotates and mirrors a bitmap by its EXIF orientation 1..8. */
    static Bitmap applyOrientation(Bitmap bitmap, int orientation) throws KitException {
        Matrix matrix = new Matrix();
        switch (orientation) {
            case 2:
                matrix.postScale(-1, 1);
                break;
            case 3:
                matrix.postRotate(180);
                break;
            case 4:
                matrix.postScale(1, -1);
                break;
            case 5:
                matrix.postRotate(90);
                matrix.postScale(-1, 1);
                break;
            case 6:
                matrix.postRotate(90);
                break;
            case 7:
                matrix.postRotate(-90);
                matrix.postScale(-1, 1);
                break;
            case 8:
                matrix.postRotate(-90);
                break;
            default:
                return bitmap;
        }
        int width = bitmap.getWidth();
        try {
            return Bitmap.createBitmap(bitmap, 0, 0, width, bitmap.getHeight(), matrix, false);
        } catch (OutOfMemoryError e) {
            throw new KitException(TOO_LARGE, e);
        }
    }
}
