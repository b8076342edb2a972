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

    /** Copies a stream to its end and returns the hash of the copied bytes. */
    static String copy(InputStream from, OutputStream to) throws IOException {
        MessageDigest digest = algorithm();
        byte[] buffer = new byte[1 << 16];
        for (int n = from.read(buffer); n >= 0; n = from.read(buffer)) {
            digest.update(buffer, 0, n);
            to.write(buffer, 0, n);
        }
        return hex(digest.digest());
    }

    /** Reads a stream to its end and returns the hash of its bytes. */
    static String of(InputStream from) throws IOException {
        MessageDigest digest = algorithm();
        byte[] buffer = new byte[1 << 16];
        for (int n = from.read(buffer); n >= 0; n = from.read(buffer)) {
            digest.update(buffer, 0, n);
        }
        return hex(digest.digest());
    }

    private static MessageDigest algorithm() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("SHA-256 is available on every Android version", e);
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
