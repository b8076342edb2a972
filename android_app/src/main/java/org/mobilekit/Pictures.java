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
    /** Pixels above which every second one is left out while decoding, to spare memory. */
    private static final long MANY = 50_000_000;

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
        long pixels = (long) options.outWidth * options.outHeight;
        for (options.inSampleSize = 1; pixels > MANY; pixels /= 4) {
            options.inSampleSize *= 2;
        }
        Bitmap bitmap = read(source, options);
        if (bitmap == null) {
            throw new KitException("This picture is damaged");
        }
        return upright(bitmap, orientation(source));
    }

    private static Bitmap read(Callable<InputStream> source, BitmapFactory.Options options)
            throws KitException {
        try (InputStream in = new BufferedInputStream(open(source))) {
            return BitmapFactory.decodeStream(in, null, options);
        } catch (OutOfMemoryError e) {
            throw new KitException("This picture is too large for the device's memory", e);
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
    static Bitmap upright(Bitmap bitmap, int orientation) {
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
        return Bitmap.createBitmap(bitmap, 0, 0, width, bitmap.getHeight(), turn, false);
    }
}
