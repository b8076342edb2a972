package org.mobilekit;

/** Element types of tensors. */
public enum DType {
    FLOAT32("float32", "<f4", 4),
    FLOAT16("float16", "<f2", 2),
    INT64("int64", "<i8", 8),
    INT32("int32", "<i4", 4),
    UINT8("uint8", "|u1", 1),
    BOOL("bool", "|b1", 1);

    /** Name in bundle.json and in kit's runners. */
    public final String label;

    /** Size of one element in bytes. */
    public final int bytes;

    /** Type descriptor in NumPy files. */
    final String npy;

    DType(String label, String npy, int bytes) {
        this.label = label;
        this.npy = npy;
        this.bytes = bytes;
    }

    static DType of(String label) throws KitException {
        for (DType dtype : values()) {
            if (dtype.label.equals(label)) {
                return dtype;
            }
        }
        throw new KitException("This app does not support the tensor type " + label);
    }
}
