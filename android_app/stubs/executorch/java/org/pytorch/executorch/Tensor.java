package org.pytorch.executorch;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.ShortBuffer;

/** See {@link Module}. */
public abstract class Tensor {
    public static final Companion Companion = null;

    public Tensor(long[] shape) {
        throw Stub.called();
    }

    public final long numel() {
        throw Stub.called();
    }

    public final long[] shape() {
        throw Stub.called();
    }

    public abstract DType dtype();

    public final int dtypeJniCode() {
        throw Stub.called();
    }

    public byte[] getDataAsByteArray() {
        throw Stub.called();
    }

    public short[] getDataAsShortArray() {
        throw Stub.called();
    }

    public byte[] getDataAsUnsignedByteArray() {
        throw Stub.called();
    }

    public int[] getDataAsIntArray() {
        throw Stub.called();
    }

    public float[] getDataAsFloatArray() {
        throw Stub.called();
    }

    public void copyDataInto(FloatBuffer dst) {
        throw Stub.called();
    }

    public void copyDataInto(ByteBuffer dst) {
        throw Stub.called();
    }

    public void copyDataIntoUnsigned(ByteBuffer dst) {
        throw Stub.called();
    }

    public void copyDataInto(IntBuffer dst) {
        throw Stub.called();
    }

    public void copyDataInto(LongBuffer dst) {
        throw Stub.called();
    }

    public void copyDataInto(DoubleBuffer dst) {
        throw Stub.called();
    }

    public void copyDataInto(ShortBuffer dst) {
        throw Stub.called();
    }

    public long[] getDataAsLongArray() {
        throw Stub.called();
    }

    public double[] getDataAsDoubleArray() {
        throw Stub.called();
    }

    public Buffer getRawDataBuffer() {
        throw Stub.called();
    }

    public final byte[] toByteArray() {
        throw Stub.called();
    }

    public static final ByteBuffer allocateByteBuffer(int numElements) {
        throw Stub.called();
    }

    public static final IntBuffer allocateIntBuffer(int numElements) {
        throw Stub.called();
    }

    public static final FloatBuffer allocateFloatBuffer(int numElements) {
        throw Stub.called();
    }

    public static final LongBuffer allocateLongBuffer(int numElements) {
        throw Stub.called();
    }

    public static final ShortBuffer allocateHalfBuffer(int numElements) {
        throw Stub.called();
    }

    public static final DoubleBuffer allocateDoubleBuffer(int numElements) {
        throw Stub.called();
    }

    public static final Tensor fromBlobUnsigned(byte[] data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(byte[] data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(int[] data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(float[] data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(short[] data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(long[] data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(double[] data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlobUnsigned(ByteBuffer data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(ByteBuffer data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(IntBuffer data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(FloatBuffer data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(ShortBuffer data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(LongBuffer data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromBlob(DoubleBuffer data, long[] shape) {
        throw Stub.called();
    }

    public static final Tensor ones(long[] shape, DType dtype) {
        throw Stub.called();
    }

    public static final Tensor zeros(long[] shape, DType dtype) {
        throw Stub.called();
    }

    public static final long numel(long[] shape) {
        throw Stub.called();
    }

    public static final Tensor fromByteArray(byte[] bytes) {
        throw Stub.called();
    }

    /** Kotlin code calls the static methods through it. */
    public static final class Companion {
        private Companion() {}
    }
}
