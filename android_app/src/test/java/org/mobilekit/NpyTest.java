package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.junit.Test;

public final class NpyTest {
    static byte[] file(String type, String shape, float... values) {
        String header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape
                + "), }\n";
        ByteBuffer data = ByteBuffer.allocate(10 + header.length() + 4 * values.length)
                .order(ByteOrder.LITTLE_ENDIAN);
        data.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
        data.putShort((short) header.length());
        data.put(header.getBytes(StandardCharsets.US_ASCII));
        for (float value : values) {
            data.putFloat(value);
        }
        return data.array();
    }

    private static TensorSpec spec(DType dtype, long... shape) throws Exception {
        return new TensorSpec("x", dtype, shape);
    }

    private static TensorSpec three() throws Exception {
        return spec(DType.FLOAT32, 1, 3);
    }

    @Test
    public void rows() throws Exception {
        Npy array = Npy.parse(file("<f4", "2, 3", 1, 2, 3, 4, 5, 6), three(), "x");
        assertEquals(2, array.rows());
        assertArrayEquals(new float[] {4, 5, 6}, array.row(1).toFloats(), 0f);
        assertArrayEquals(new long[] {1, 3}, array.row(1).shape());
    }

    @Test
    public void rowsOfOneNumber() throws Exception {
        Npy array = Npy.parse(file("<f4", "2,", 7, 8), spec(DType.FLOAT32), "x");
        assertEquals(8, array.row(1).at(0), 0);
        assertEquals(0, array.row(1).shape().length);
    }

    @Test
    public void firstRowReadsATruncatedFile() throws Exception {
        byte[] whole = file("<f4", "2, 3", 1, 2, 3, 4, 5, 6);
        float[] row = {1, 2, 3};
        assertArrayEquals(row, Npy.firstRow(whole, three(), "x").toFloats(), 0f);
        byte[] half = Arrays.copyOf(whole, whole.length - 12);
        assertArrayEquals(row, Npy.firstRow(half, three(), "x").toFloats(), 0f);
        KitException e = assertThrows(KitException.class, () ->
                Npy.firstRow(Arrays.copyOf(whole, whole.length - 16), three(), "x.npy"));
        assertEquals("x.npy is truncated", e.getMessage());
        e = assertThrows(KitException.class,
                () -> Npy.firstRow(file("<f4", "0, 3"), three(), "x.npy"));
        assertEquals("x.npy is empty", e.getMessage());
    }

    @Test
    public void invalidFilesAreRejected() throws Exception {
        assertRejected("is not a NumPy file", new byte[] {1, 2, 3});
        assertRejected("is not a NumPy file", new byte[0]);
        assertRejected("is truncated", Arrays.copyOf(file("<f4", "1, 3", 1), 20));
        assertRejected("is truncated", Arrays.copyOf(file("<f4", "1, 3", 1), 8));
        for (String type : new String[] {"<f8", ">f4", "<i4", "|O", ""}) {
            assertRejected("does not contain rows of float32 “x” [1, 3]",
                    file(type, "1, 3", 1, 2, 3));
        }
        for (String shape : new String[] {
            "", "3,", "1, 4", "1, 1, 3", "99999999999, 3", "9, 99999999999999999999"}) {
            assertRejected("does not contain rows of float32", file("<f4", shape, 1, 2, 3));
        }
        assertRejected("does not match its shape", file("<f4", "2, 3", 1, 2, 3));
        assertRejected("does not match its shape", file("<f4", "2147483647, 3", 1, 2, 3));
    }

    @Test
    public void shapesThatExceedABufferAreRejected() throws Exception {
        assertEquals(Integer.MAX_VALUE, spec(DType.UINT8, 1, Integer.MAX_VALUE).bytes);
        long[][] shapes = {
            {0}, {-1}, {1, Integer.MAX_VALUE}, {1L << 40, 1L << 40}, {3037000500L, 3037000500L},
            {Long.MIN_VALUE}, {1, 1, 1, 1, 1, 1, 1, 1, 1}
        };
        for (long[] shape : shapes) {
            KitException e =
                    assertThrows(KitException.class, () -> spec(DType.FLOAT32, shape));
            assertTrue(e.getMessage(), e.getMessage().contains("“x” has a shape that this app"));
        }
    }

    private static void assertRejected(String part, byte[] file) throws Exception {
        TensorSpec spec = three();
        KitException e = assertThrows(KitException.class, () -> Npy.parse(file, spec, "x.npy"));
        assertTrue(e.getMessage(), e.getMessage().contains(part));
        assertTrue(e.getMessage(), e.getMessage().contains("x.npy"));
    }
}
