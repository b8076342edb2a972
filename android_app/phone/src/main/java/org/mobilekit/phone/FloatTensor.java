package org.mobilekit.phone;

/** State of an {@code org.pytorch.Tensor}, with codes of its DType and MemoryFormat. */
record FloatTensor(Block data, long[] shape) {
    static final int FLOAT32 = 4;
    static final int CONTIGUOUS = 1;
}
