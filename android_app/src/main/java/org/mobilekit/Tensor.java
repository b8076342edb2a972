package org.mobilekit;

import android.util.Half;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

/**
 * An input or output of a model: type, shape, and little-endian data in a direct buffer, which
 * native libraries read without a copy on all Android processors.
 */
public final class Tensor {
    public final DType dtype;
    private final long[] shape;
    private final ByteBuffer data;

    private Tensor(DType dtype, long[] shape, int bytes) {
        long expected = dtype.bytes;
        for (long dimension : shape) {
            expected *= dimension; // no overflow, as the data is already in memory
        }
        if (expected != bytes) {
            throw new IllegalArgumentException(bytes + " bytes do not match " + dtype.label + " "
                    + Arrays.toString(shape));
        }
        this.dtype = dtype;
        this.shape = shape.clone();
        this.data = ByteBuffer.allocateDirect(bytes);
    }

    /** Copies floats. */
    public static Tensor of(float[] values, long... shape) {
        Tensor tensor = new Tensor(DType.FLOAT32, shape, values.length * Float.BYTES);
        tensor.data().asFloatBuffer().put(values);
        return tensor;
    }

    /** Copies 32-bit integers. */
    public static Tensor of(int[] values, long... shape) {
        Tensor tensor = new Tensor(DType.INT32, shape, values.length * Integer.BYTES);
        tensor.data().asIntBuffer().put(values);
        return tensor;
    }

    /** Copies 64-bit integers. */
    public static Tensor of(long[] values, long... shape) {
        Tensor tensor = new Tensor(DType.INT64, shape, values.length * Long.BYTES);
        tensor.data().asLongBuffer().put(values);
        return tensor;
    }

    /** Copies 16-bit floats in the representation of {@link Half}. */
    public static Tensor ofHalves(short[] values, long... shape) {
        Tensor tensor = new Tensor(DType.FLOAT16, shape, values.length * Short.BYTES);
        tensor.data().asShortBuffer().put(values);
        return tensor;
    }

    /** Copies the remaining little-endian bytes of a buffer as elements of any type. */
    public static Tensor of(DType dtype, ByteBuffer bytes, long... shape) {
        Tensor tensor = new Tensor(dtype, shape, bytes.remaining());
        tensor.data().put(bytes.duplicate());
        return tensor;
    }

    public long[] shape() {
        return shape.clone();
    }

    /** Returns a little-endian view of the data with an independent position. */
    public ByteBuffer data() {
        return data.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Returns the number of elements. */
    public int size() {
        return data.capacity() / dtype.bytes;
    }

    /** Returns the element at a row-major index; bools are 0 or 1. */
    public double at(int index) {
        ByteBuffer bytes = data();
        switch (dtype) {
            case FLOAT32:
                return bytes.getFloat(index * Float.BYTES);
            case FLOAT16:
                return Half.toFloat(bytes.getShort(index * Short.BYTES));
            case INT64:
                return bytes.getLong(index * Long.BYTES);
            case INT32:
                return bytes.getInt(index * Integer.BYTES);
            case UINT8:
                return bytes.get(index) & 0xff;
            default:
                return bytes.get(index) == 0 ? 0 : 1;
        }
    }

    /** Returns the elements as floats in row-major order. */
    public float[] toFloats() {
        float[] values = new float[size()];
        if (dtype == DType.FLOAT32) {
            data().asFloatBuffer().get(values);
            return values;
        }
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) at(i);
        }
        return values;
    }

    /** Returns types and shapes in the syntax of kit's runners: float32:1,3;int64:1,16. */
    public static String describe(List<Tensor> tensors) {
        StringBuilder text = new StringBuilder();
        for (Tensor tensor : tensors) {
            text.append(text.length() > 0 ? ";" : "").append(tensor.dtype.label).append(':');
            for (int i = 0; i < tensor.shape.length; i++) {
                text.append(i > 0 ? "," : "").append(tensor.shape[i]);
            }
        }
        return text.toString();
    }
}
