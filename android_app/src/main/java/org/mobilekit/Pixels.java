package org.mobilekit;

/** An upright picture that gives its rows one by one. */
public interface Pixels {
    int width();

    int height();

    /**
     * Writes the opaque pixels {@code 0x..RRGGBB} of a row from column {@code left} on into
     * {@code into}, as many as it has room for.
     */
    void row(int y, int left, int[] into);
}
