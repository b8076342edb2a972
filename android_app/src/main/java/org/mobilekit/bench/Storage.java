package org.mobilekit.bench;

import java.io.BufferedOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import org.mobilekit.Contract;

/** Where results go; each file is written under another name, synced and renamed. */
class Storage {
    private final File folder;

    /** Writes the content of a file. */
    interface Content {
        void to(OutputStream out) throws IOException;
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

    /** Bytes that can be written. */
    long free() {
        return folder.getParentFile().getUsableSpace();
    }

    /** Removes what an earlier measurement of this id left. */
    void forget(String id) {
        result(id).delete();
        answer(id).delete();
    }

    void write(File file, Content content) throws IOException {
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new IOException("cannot make the folder " + folder);
        }
        File part = new File(file.getPath() + ".part");
        try (FileOutputStream raw = new FileOutputStream(part)) {
            OutputStream out = new BufferedOutputStream(raw, 1 << 16);
            content.to(out);
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
