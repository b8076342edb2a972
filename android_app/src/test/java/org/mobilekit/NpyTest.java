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

    @Test
    public void rows() throws Exception {
        Npy array = Npy.parse(file("<f4", "2, 3", 1, 2, 3, 4, 5, 6), "x");
        assertEquals(2, array.rows());
        assertArrayEquals(new float[] {4, 5, 6}, array.row(1), 0f);
    }

    @Test
    public void theFirstRowNeedsNoMoreOfTheFile() throws Exception {
        byte[] whole = file("<f4", "2, 3", 1, 2, 3, 4, 5, 6);
        float[] row = {1, 2, 3};
        assertArrayEquals(row, Npy.firstRow(whole, "x"), 0f);
        assertArrayEquals(row, Npy.firstRow(Arrays.copyOf(whole, whole.length - 12), "x"), 0f);
        KitException e = assertThrows(KitException.class,
                () -> Npy.firstRow(Arrays.copyOf(whole, whole.length - 16), "x.npy"));
        assertEquals("x.npy is cut off", e.getMessage());
    }

    @Test
    public void whatItIsNotIsSaid() {
        refused("is not a NumPy file", new byte[] {1, 2, 3});
        refused("is not a NumPy file", new byte[0]);
        refused("is cut off", Arrays.copyOf(file("<f4", "1, 1", 1), 20));
        refused("is cut off", Arrays.copyOf(file("<f4", "1, 1", 1), 8));
        refused("not a float32 array", file("<f8", "1, 1", 1));
        refused("not a float32 array", file("<f4", "1,", 1));
        refused("not a float32 array", file("<f4", "", 1));
        refused("not a float32 array", file("<f4", "99999999999, 1", 1));
        refused("not those of its shape", file("<f4", "2, 3", 1, 2, 3));
    }

    private static void refused(String words, byte[] file) {
        KitException e = assertThrows(KitException.class, () -> Npy.parse(file, "x.npy"));
        assertTrue(e.getMessage(), e.getMessage().contains(words));
        assertTrue(e.getMessage(), e.getMessage().contains("x.npy"));
    }
}
