package org.mobilekit;

import android.content.res.AssetManager;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

/** Where the files of a bundle are: the app's assets or a folder. */
public interface Store {
    /** Opens a file by its path inside of the bundle. */
    InputStream open(String path) throws IOException;

    /** Returns the files of a folder, for example {@code assets/bundles/NAME} of the app. */
    static Store assets(AssetManager assets, String folder) {
        return path -> assets.open(folder + "/" + path, AssetManager.ACCESS_STREAMING);
    }

    static Store folder(File folder) {
        return path -> new FileInputStream(new File(folder, path));
    }
}
