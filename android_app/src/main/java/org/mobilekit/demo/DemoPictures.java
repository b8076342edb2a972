package org.mobilekit.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.net.Uri;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Scanner;
import org.mobilekit.Contract;
import org.mobilekit.KitException;
import org.mobilekit.Pictures;

/** Decodes the selected picture: the bundled one, the camera's or a document. */
final class DemoPictures {
    private static final int MAX_SIDE = 2048;

    private final Context context;
    private Bitmap decoded;
    private String decodedSource;

    DemoPictures(Context context) {
        this.context = context;
    }

    /** Returns the bitmap for a source; see {@link Choice#picture}. */
    Bitmap get(String source) throws KitException {
        // The camera always writes to the same file, so read that file each time.
        if (!source.equals(decodedSource) || isCamera(source)) {
            decoded = null; // release it first: a picture takes up to 100 MB
            decodedSource = null;
            decoded = Pictures.decode(() -> open(source));
            decodedSource = source;
        }
        return decoded;
    }

    private boolean isCamera(String source) {
        return source.equals(CameraFile.uri(context).toString());
    }

    /**
     * Scales a picture for display: Android throws for bitmaps of 100 MB, and draws nothing if a
     * side exceeds the maximum texture size of the GPU.
     */
    static Bitmap scaleForDisplay(Bitmap picture) {
        double scale = (double) MAX_SIDE / Math.max(picture.getWidth(), picture.getHeight());
        return scale >= 1 ? picture : Bitmap.createScaledBitmap(picture,
                Math.max((int) (picture.getWidth() * scale), 1),
                Math.max((int) (picture.getHeight() * scale), 1), true);
    }

    /** Returns a line with the author of the picture, or an empty string. */
    String credit(String source) {
        if (!source.equals(Choice.BUNDLED_PICTURE)) {
            return "";
        }
        try (InputStream in = context.getAssets().open(Contract.ASSET_CREDIT);
                Scanner text = new Scanner(in, "UTF-8")) {
            return text.hasNextLine() ? text.nextLine() : "";
        } catch (IOException e) {
            return ""; // the picture has no credit
        }
    }

    private InputStream open(String source) throws IOException, KitException {
        if (source.equals(Choice.BUNDLED_PICTURE)) {
            return openBundled();
        }
        if (isCamera(source)) {
            return new FileInputStream(CameraFile.file(context));
        }
        return context.getContentResolver().openInputStream(Uri.parse(source));
    }

    private InputStream openBundled() throws KitException {
        try {
            return context.getAssets().open(Contract.ASSET_PICTURE);
        } catch (IOException e) {
            throw new KitException(context.getString(R.string.no_picture), e);
        }
    }
}
