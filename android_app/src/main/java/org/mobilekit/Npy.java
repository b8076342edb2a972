package org.mobilekit;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The values of one input or output in NumPy's file format, a row for each inference. What the
 * header says is compared with what is wanted and with the file before memory is taken for it.
 *
 * <p>https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
final class Npy {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final Pattern TYPE = Pattern.compile("'descr':\\s*'([^']*)'");
    private static final Pattern SHAPE = Pattern.compile("'shape':\\s*\\(([0-9, ]*)\\)");

    private final TensorSpec spec;
    private final int rows;
    private final ByteBuffer values;

    private Npy(TensorSpec spec, int rows, ByteBuffer values) {
        this.spec = spec;
        this.rows = rows;
        this.values = values;
    }

    /** Takes the content of a file apart; {@code name} is for messages. */
    static Npy parse(byte[] file, TensorSpec spec, String name) throws KitException {
        ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        int rows = header(data, spec, name);
        if (data.remaining() != (long) rows * spec.bytes) {
            throw new KitException(name + " has " + data.remaining() + " bytes of numbers, not"
                    + " those of its shape");
        }
        return new Npy(spec, rows, data.slice());
    }

    /** Takes the first row from the beginning of a file, which may lack the others. */
    static Tensor firstRow(byte[] file, TensorSpec spec, String name) throws KitException {
        ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        if (header(data, spec, name) < 1) {
            throw new KitException(name + " is empty");
        }
        if (data.remaining() < spec.bytes) {
            throw new KitException(name + " is cut off");
        }
        return new Npy(spec, 1, data.slice()).row(0);
    }

    /** Reads up to the first number, and returns how many rows there are to be. */
    private static int header(ByteBuffer data, TensorSpec spec, String name) throws KitException {
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
        return rows(new String(header, StandardCharsets.ISO_8859_1), spec, name);
    }

    int rows() {
        return rows;
    }

    Tensor row(int index) {
        ByteBuffer row = values.duplicate();
        ((java.nio.Buffer) row).limit((index + 1) * spec.bytes).position(index * spec.bytes);
        return Tensor.of(spec.dtype, row, spec.shape());
    }

    private static int rows(String header, TensorSpec spec, String name) throws KitException {
        Matcher type = TYPE.matcher(header);
        Matcher shape = SHAPE.matcher(header);
        boolean readable = header.contains("'fortran_order': False") && shape.find()
                && type.find() && type.group(1).equals(spec.dtype.npy);
        long[] sides = readable ? sides(shape.group(1)) : new long[0];
        if (sides.length < 1 || sides[0] > Integer.MAX_VALUE
                || !Arrays.equals(Arrays.copyOfRange(sides, 1, sides.length), spec.rowShape())) {
            throw new KitException(name + " has no rows of " + spec);
        }
        return (int) sides[0];
    }

    /** Returns what stands between the parentheses; nothing if one of it is no number. */
    private static long[] sides(String text) {
        String[] words = text.split(","); // without the empty one after the last comma
        long[] sides = new long[words.length];
        try {
            for (int i = 0; i < words.length; i++) {
                sides[i] = Long.parseLong(words[i].trim());
            }
        } catch (NumberFormatException e) {
            return new long[0];
        }
        return sides;
    }
}
