package org.mobilekit;

/** An upright picture, read row by row. */
public interface Pixels {
    int width();

    int height();

    /**
     * Fills {@code into} with opaque pixels {@code 0x..RRGGBB} of a row, starting at column
     * {@code left}.
     */
    void row(int y, int left, int[] into);
}
