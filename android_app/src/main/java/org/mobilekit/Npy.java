package org.mobilekit;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The values of one input or output in NumPy's file format, one row per inference. The header is
 * checked against the expected type and shape and the file size before memory is allocated.
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

    /** Parses the contents of a file; {@code name} is used in messages. */
    static Npy parse(byte[] file, TensorSpec spec, String name) throws KitException {
        ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        int rows = readHeader(data, spec, name);
        if (data.remaining() != (long) rows * spec.bytes) {
            throw new KitException(name + " has " + data.remaining() + " bytes of data, which"
                    + " does not match its shape");
        }
        return new Npy(spec, rows, data.slice());
    }

    /** Parses the first row; {@code file} may be truncated after it. */
    static Tensor firstRow(byte[] file, TensorSpec spec, String name) throws KitException {
        ByteBuffer data = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        if (readHeader(data, spec, name) < 1) {
            throw new KitException(name + " is empty");
        }
        if (data.remaining() < spec.bytes) {
            throw new KitException(name + " is truncated");
        }
        return new Npy(spec, 1, data.slice()).row(0);
    }

    /** Reads the header and returns the number of rows. */
    private static int readHeader(ByteBuffer data, TensorSpec spec, String name)
            throws KitException {
        for (byte expected : MAGIC) {
            if (!data.hasRemaining() || data.get() != expected) {
                throw new KitException(name + " is not a NumPy file");
            }
        }
        if (data.remaining() < 6) {
            throw new KitException(name + " is truncated");
        }
        int version = data.get();
        data.get();
        int length = version == 1 ? data.getShort() & 0xffff : data.getInt();
        if (length < 0 || length > data.remaining()) {
            throw new KitException(name + " is truncated");
        }
        byte[] header = new byte[length];
        data.get(header);
        return parseRows(new String(header, StandardCharsets.ISO_8859_1), spec, name);
    }

    int rows() {
        return rows;
    }

    Tensor row(int index) {
        ByteBuffer row = values.duplicate();
        ((java.nio.Buffer) row).limit((index + 1) * spec.bytes).position(index * spec.bytes);
        return Tensor.of(spec.dtype, row, spec.shape());
    }

    private static int parseRows(String header, TensorSpec spec, String name) throws KitException {
        Matcher type = TYPE.matcher(header);
        Matcher shape = SHAPE.matcher(header);
        boolean valid = header.contains("'fortran_order': False") && shape.find()
                && type.find() && type.group(1).equals(spec.dtype.npy);
        long[] dimensions = valid ? parseShape(shape.group(1)) : new long[0];
        int rank = dimensions.length;
        if (rank < 1 || dimensions[0] > Integer.MAX_VALUE
                || !Arrays.equals(Arrays.copyOfRange(dimensions, 1, rank), spec.rowShape())) {
            throw new KitException(name + " does not contain rows of " + spec);
        }
        return (int) dimensions[0];
    }

    /** Parses the dimensions of a shape; returns an empty array if one is not a number. */
    private static long[] parseShape(String text) {
        String[] parts = text.split(","); // drops the empty string after the last comma
        long[] dimensions = new long[parts.length];
        try {
            for (int i = 0; i < parts.length; i++) {
                dimensions[i] = Long.parseLong(parts[i].trim());
            }
        } catch (NumberFormatException e) {
            return new long[0];
        }
        return dimensions;
    }
}
