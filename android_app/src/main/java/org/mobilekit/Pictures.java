package org.mobilekit;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Matrix;
import android.media.ExifInterface;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.Callable;

/** From the bytes of a picture to an upright bitmap. */
public final class Pictures {
    /** Pixels above which every second one is left out while decoding: 100 MB of memory. */
    private static final long MANY = 25_000_000;

    private static final String TOO_LARGE = "This picture is too large for the device's memory";

    private Pictures() {}

    /**
     * Decodes a picture and turns it as its EXIF data says.
     *
     * @param source opens the stream; called up to three times
     */
    public static Bitmap decode(Callable<InputStream> source) throws KitException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inJustDecodeBounds = true;
        read(source, options);
        if (options.outWidth < 1 || options.outHeight < 1) {
            throw new KitException("This file is not a picture that the device can read");
        }
        options.inJustDecodeBounds = false;
        options.inSampleSize = sample(options.outWidth, options.outHeight);
        Bitmap bitmap = read(source, options);
        if (bitmap == null) {
            throw new KitException("This picture is damaged");
        }
        Bitmap turned = upright(bitmap, orientation(source));
        if (turned != bitmap) {
            bitmap.recycle(); // now, as both may take 100 MB
        }
        return turned;
    }

    /** Which pixels to keep while decoding: every one, every second, every fourth. */
    static int sample(int width, int height) {
        int sample = 1;
        for (long pixels = (long) width * height; pixels > MANY; pixels /= 4) {
            sample *= 2;
        }
        return sample;
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
        } catch (Exception e) { // providers of other apps throw what they like
            throw new KitException("Cannot open the picture: " + e.getMessage(), e);
        }
        if (in == null) {
            throw new KitException("The app that has the picture gives nothing");
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

    /** Turns and mirrors by EXIF's numbers 1..8. */
    static Bitmap upright(Bitmap bitmap, int orientation) throws KitException {
        Matrix turn = new Matrix();
        switch (orientation) {
            case 2:
                turn.postScale(-1, 1);
                break;
            case 3:
                turn.postRotate(180);
                break;
            case 4:
                turn.postScale(1, -1);
                break;
            case 5:
                turn.postRotate(90);
                turn.postScale(-1, 1);
                break;
            case 6:
                turn.postRotate(90);
                break;
            case 7:
                turn.postRotate(-90);
                turn.postScale(-1, 1);
                break;
            case 8:
                turn.postRotate(-90);
                break;
            default:
                return bitmap;
        }
        int width = bitmap.getWidth();
        try {
            return Bitmap.createBitmap(bitmap, 0, 0, width, bitmap.getHeight(), turn, false);
        } catch (OutOfMemoryError e) {
            throw new KitException(TOO_LARGE, e);
        }
    }
}
