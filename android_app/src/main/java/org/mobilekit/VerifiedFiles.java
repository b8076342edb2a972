package org.mobilekit;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

/** Reads files of a bundle and compares the SHA-256 of each with the manifest's. */
final class VerifiedFiles {
    /** Guards unpacking, because two threads may request the same model. */
    private static final Object UNPACK_LOCK = new Object();

    private final String bundle;
    private final Store store;
    private final Manifest manifest;

    VerifiedFiles(String bundle, Store store, Manifest manifest) {
        this.bundle = bundle;
        this.store = store;
        this.manifest = manifest;
    }

    boolean exists(String path) {
        try {
            store.open(path).close();
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    byte[] read(String path) throws KitException {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        copyInto(path, data);
        return data.toByteArray();
    }

    /** Verifies a whole file and returns up to its first {@code limit} bytes. */
    byte[] readPrefix(String path, long limit) throws KitException {
        PrefixStream data = new PrefixStream(limit);
        copyInto(path, data);
        return data.toByteArray();
    }

    /** Copies a file once to {@code folder}, where its name is its hash. */
    File unpack(String path, File folder) throws KitException {
        synchronized (UNPACK_LOCK) {
            return unpackLocked(path, folder);
        }
    }

    private File unpackLocked(String path, File folder) throws KitException {
        Manifest.Entry entry = manifest.entry(path);
        String type = path.substring(Math.max(path.lastIndexOf('.'), path.lastIndexOf('/') + 1));
        File file = new File(folder, entry.sha256 + type);
        if (file.length() == entry.size && entry.sha256.equals(digest(file))) {
            return file;
        }
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new KitException("Cannot create the folder " + folder);
        }
        File part = new File(file.getPath() + ".part");
        try (OutputStream out = new FileOutputStream(part)) {
            copyChecked(path, out);
        } catch (IOException e) {
            part.delete();
            throw new KitException("Cannot unpack " + path + ": " + e.getMessage(), e);
        } catch (KitException e) {
            part.delete();
            throw e;
        }
        if (!part.renameTo(file)) {
            throw new KitException("Cannot rename " + part);
        }
        return file;
    }

    private static String digest(File file) {
        try (InputStream in = new FileInputStream(file)) {
            return Digest.of(in);
        } catch (IOException e) {
            return ""; // missing or unreadable: unpack it again
        }
    }

    private void copyInto(String path, OutputStream data) throws KitException {
        try {
            copyChecked(path, data);
        } catch (IOException e) {
            throw new KitException("Cannot read " + path + " of the bundle: " + e.getMessage(), e);
        }
    }

    private void copyChecked(String path, OutputStream out) throws IOException, KitException {
        Manifest.Entry entry = manifest.entry(path);
        String digest;
        try (InputStream in = store.open(path)) {
            digest = Digest.copy(in, out);
        }
        if (!digest.equals(entry.sha256)) {
            throw new KitException(path + " of the bundle “" + bundle + "” was altered: its SHA-256"
                    + " is not the one in bundle.json. Build and pack the bundle again.");
        }
    }

    /** Keeps the first bytes that are written, and discards the rest. */
    private static final class PrefixStream extends ByteArrayOutputStream {
        private final long limit;

        PrefixStream(long limit) {
            this.limit = limit;
        }

        @Override
        public synchronized void write(byte[] data, int offset, int length) {
            super.write(data, offset, (int) Math.min(length, limit - size()));
        }
    }
}
