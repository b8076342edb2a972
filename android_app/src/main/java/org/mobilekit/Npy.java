package org.mobilekit;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A float32 array in NumPy's file format, read row by row.
 *
 * <p>https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
final class Npy {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final Pattern SHAPE = Pattern.compile("'shape':\\s*\\(([0-9, ]*)\\)");

    final int[] shape;
    private final FloatBuffer values;

    private Npy(int[] shape, FloatBuffer values) {
        this.shape = shape;
        this.values = values;
    }

    /** Takes the content of a file apart; {@code name} is for messages. */
    static Npy parse(byte[] file, String name) throws KitException {
        ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        int[] shape = header(data, name);
        FloatBuffer values = data.slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        if (values.remaining() != size(shape, 0)) {
            throw new KitException(name + " has " + values.remaining() + " numbers, not those"
                    + " of its shape");
        }
        return new Npy(shape, values);
    }

    /** Takes the first row from the beginning of a file, which may lack the others. */
    static float[] firstRow(byte[] file, String name) throws KitException {
        ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        long length = size(header(data, name), 1);
        FloatBuffer values = data.slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        if (values.remaining() < length) {
            throw new KitException(name + " is cut off");
        }
        float[] row = new float[(int) length];
        values.get(row);
        return row;
    }

    /** Reads up to the first number, and returns the shape. */
    private static int[] header(ByteBuffer data, String name) throws KitException {
        for (byte expected : MAGIC) {
            if (!data.hasRemaining() || data.get() != expected) {
                throw new KitException(name + " is not a NumPy file");
            }
        }
        if (data.remaining() < 6) {
            throw new KitException(name + " is cut off");
        }
        int version = data.get();
        data.get();
        int length = version == 1 ? data.getShort() & 0xffff : data.getInt();
        if (length < 0 || length > data.remaining()) {
            throw new KitException(name + " is cut off");
        }
        byte[] header = new byte[length];
        data.get(header);
        return shape(new String(header, StandardCharsets.ISO_8859_1), name);
    }

    int rows() {
        return shape[0];
    }

    float[] row(int index) {
        float[] row = new float[(int) size(shape, 1)];
        for (int i = 0; i < row.length; i++) {
            row[i] = values.get(index * row.length + i);
        }
        return row;
    }

    private static int[] shape(String header, String name) throws KitException {
        Matcher found = SHAPE.matcher(header);
        boolean readable = header.contains("'descr': '<f4'")
                && header.contains("'fortran_order': False") && found.find();
        String[] sides = readable ? found.group(1).split(",") : new String[0];
        int[] shape = new int[sides.length];
        try {
            for (int i = 0; i < sides.length; i++) {
                shape[i] = Integer.parseInt(sides[i].trim());
            }
        } catch (NumberFormatException e) {
            shape = new int[0];
        }
        if (shape.length < 2) {
            throw new KitException(name + " is not a float32 array with rows");
        }
        return shape;
    }

    private static long size(int[] shape, int from) {
        long size = 1;
        for (int i = from; i < shape.length; i++) {
            size *= shape[i];
        }
        return size;
    }
}
