package org.mobilekit;

import android.content.res.AssetManager;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

/** The source of a bundle's files: the app's assets or a folder. */
public interface Store {
    /** Opens a file by its path in the bundle. */
    InputStream open(String path) throws IOException;

    /** Reads files from a folder of the app's assets, such as {@code bundles/NAME}. */
    static Store assets(AssetManager assets, String folder) {
        return path -> assets.open(folder + "/" + path, AssetManager.ACCESS_STREAMING);
    }

    static Store folder(File folder) {
        return path -> new FileInputStream(new File(folder, path));
    }
}
