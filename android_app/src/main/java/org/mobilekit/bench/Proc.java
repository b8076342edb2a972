package org.mobilekit.bench;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;

/** Reads /proc for this process; values that an app cannot read are null. */
final class Proc {
    private static final File STATUS = new File("/proc/self/status");

    private Proc() {}

    /** Resets the peak of the resident memory and returns the current value in bytes. */
    static Long resetPeak() {
        try (FileWriter file = new FileWriter("/proc/self/clear_refs")) {
            file.write("5");
        } catch (IOException e) {
            return null; // the peak would cover the whole process lifetime
        }
        return bytes("VmRSS");
    }

    static Long peak() {
        return bytes("VmHWM");
    }

    static Integer threads() {
        String text = status("Threads");
        return text == null ? null : Integer.valueOf(text);
    }

    /** Returns the hexadecimal mask of the cores that this process may use. */
    static String cpus() {
        String text = status("Cpus_allowed");
        return text == null ? null : text.replace(",", "").replaceFirst("^0+(?=.)", "");
    }

    /** Returns the first line of a file, or null. */
    static String line(File file) {
        try (BufferedReader in = Files.newBufferedReader(file.toPath(), StandardCharsets.UTF_8)) {
            return in.readLine();
        } catch (IOException e) {
            return null;
        }
    }

    private static Long bytes(String key) {
        String text = status(key);
        return text == null ? null : Long.parseLong(text.split(" ")[0]) * 1024;
    }

    private static String status(String key) {
        try (BufferedReader in = Files.newBufferedReader(STATUS.toPath(), StandardCharsets.UTF_8)) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                if (line.startsWith(key + ":")) {
                    return line.substring(key.length() + 1).trim();
                }
            }
        } catch (IOException e) {
            return null;
        }
        return null;
    }
}
