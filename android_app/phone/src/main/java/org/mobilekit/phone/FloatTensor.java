package org.mobilekit.phone;

/** What {@code org.pytorch.Tensor} keeps; the numbers are those of its DType and MemoryFormat. */
record FloatTensor(Block data, long[] shape) {
    static final int FLOAT32 = 4;
    static final int CONTIGUOUS = 1;
}
