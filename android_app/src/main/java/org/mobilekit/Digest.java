package org.mobilekit;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** SHA-256 in lower-case hexadecimal. */
public final class Digest {
    private static final char[] HEX = "0123456789abcdef".toCharArray();

    private Digest() {}

    public static String sha256(byte[] data) {
        return hex(algorithm().digest(data));
    }

    /** Copies all of a stream and returns the hash of what went through. */
    static String copy(InputStream from, OutputStream to) throws IOException {
        MessageDigest digest = algorithm();
        byte[] part = new byte[1 << 16];
        for (int n = from.read(part); n >= 0; n = from.read(part)) {
            digest.update(part, 0, n);
            to.write(part, 0, n);
        }
        return hex(digest.digest());
    }

    /** Reads all of a stream. */
    static String of(InputStream from) throws IOException {
        MessageDigest digest = algorithm();
        byte[] part = new byte[1 << 16];
        for (int n = from.read(part); n >= 0; n = from.read(part)) {
            digest.update(part, 0, n);
        }
        return hex(digest.digest());
    }

    private static MessageDigest algorithm() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Android has SHA-256", e);
        }
    }

    private static String hex(byte[] data) {
        StringBuilder text = new StringBuilder(data.length * 2);
        for (byte b : data) {
            text.append(HEX[(b >> 4) & 15]).append(HEX[b & 15]);
        }
        return text.toString();
    }
}
