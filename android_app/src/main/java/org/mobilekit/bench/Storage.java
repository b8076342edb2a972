package org.mobilekit.bench;

import java.io.BufferedOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import org.mobilekit.Contract;

/** Stores results; files are written under a temporary name, synced and renamed. */
class Storage {
    private final File folder;

    /** Writes the content of a file to a stream. */
    interface Content {
        void writeTo(OutputStream out) throws IOException;
    }

    Storage(File filesDir) {
        folder = new File(filesDir, Contract.FILES_RESULTS);
    }

    File result(String id) {
        return new File(folder, id + Contract.RESULT_SUFFIX);
    }

    File answer(String id) {
        return new File(folder, id + Contract.ANSWER_SUFFIX);
    }

    /** Returns the free space in bytes. */
    long free() {
        return folder.getParentFile().getUsableSpace();
    }

    /** Deletes the files of an earlier measurement with this id. */
    void delete(String id) {
        result(id).delete();
        answer(id).delete();
    }

    void write(File file, Content content) throws IOException {
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new IOException("cannot create the folder " + folder);
        }
        File part = new File(file.getPath() + ".part");
        try (FileOutputStream raw = new FileOutputStream(part)) {
            OutputStream out = new BufferedOutputStream(raw, 1 << 16);
            content.writeTo(out);
            out.flush();
            raw.getFD().sync();
        } catch (IOException e) {
            part.delete();
            throw e;
        }
        if (!part.renameTo(file)) {
            throw new IOException("cannot rename " + part);
        }
    }
}
