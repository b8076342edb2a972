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

/** Decodes what was chosen: the app's own picture, the camera's or a document. */
final class DemoPictures {
    private static final int LONGEST = 2048;

    private final Context context;
    private Bitmap decoded;
    private String from;

    DemoPictures(Context context) {
        this.context = context;
    }

    /** Returns the picture of a source; see {@link Choice#picture}. */
    Bitmap get(String source) throws KitException {
        // A camera writes all its pictures to the same file, so that one is read each time.
        if (!source.equals(from) || isCamera(source)) {
            decoded = null; // a picture takes up to 100 MB: not two at once
            from = null;
            decoded = Pictures.decode(() -> open(source));
            from = source;
        }
        return decoded;
    }

    private boolean isCamera(String source) {
        return source.equals(CameraFile.uri(context).toString());
    }

    /**
     * Returns a picture as the screen can show it: Android refuses to draw one of 100 MB, and draws
     * nothing where a side is longer than the GPU's textures.
     */
    static Bitmap shown(Bitmap picture) {
        double scale = (double) LONGEST / Math.max(picture.getWidth(), picture.getHeight());
        return scale >= 1 ? picture : Bitmap.createScaledBitmap(picture,
                Math.max((int) (picture.getWidth() * scale), 1),
                Math.max((int) (picture.getHeight() * scale), 1), true);
    }

    /** Who made the picture, in a line, or nothing. */
    String credit(String source) {
        if (!source.equals(Choice.OWN_PICTURE)) {
            return "";
        }
        try (InputStream in = context.getAssets().open(Contract.ASSET_CREDIT);
                Scanner text = new Scanner(in, "UTF-8")) {
            return text.hasNextLine() ? text.nextLine() : "";
        } catch (IOException e) {
            return ""; // a picture that needs none
        }
    }

    private InputStream open(String source) throws IOException, KitException {
        if (source.equals(Choice.OWN_PICTURE)) {
            return own();
        }
        if (isCamera(source)) {
            return new FileInputStream(CameraFile.file(context));
        }
        return context.getContentResolver().openInputStream(Uri.parse(source));
    }

    private InputStream own() throws KitException {
        try {
            return context.getAssets().open(Contract.ASSET_PICTURE);
        } catch (IOException e) {
            throw new KitException(context.getString(R.string.no_picture), e);
        }
    }
}
