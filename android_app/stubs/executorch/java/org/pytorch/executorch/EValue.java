package org.pytorch.executorch;

/** See {@link Module}. */
public final class EValue {
    public static final Companion Companion = null;
    public final int mTypeCode;
    public Object mData;

    private EValue(int mTypeCode) {
        this.mTypeCode = mTypeCode;
    }

    public final boolean isNone() {
        throw Stub.called();
    }

    public final boolean isTensor() {
        throw Stub.called();
    }

    public final boolean isBool() {
        throw Stub.called();
    }

    public final boolean isInt() {
        throw Stub.called();
    }

    public final boolean isDouble() {
        throw Stub.called();
    }

    public final boolean isString() {
        throw Stub.called();
    }

    public final Tensor toTensor() {
        throw Stub.called();
    }

    public final boolean toBool() {
        throw Stub.called();
    }

    public final long toInt() {
        throw Stub.called();
    }

    public final double toDouble() {
        throw Stub.called();
    }

    public final String toStr() {
        throw Stub.called();
    }

    public final byte[] toByteArray() {
        throw Stub.called();
    }

    public static final EValue optionalNone() {
        throw Stub.called();
    }

    public static final EValue from(Tensor tensor) {
        throw Stub.called();
    }

    public static final EValue from(boolean value) {
        throw Stub.called();
    }

    public static final EValue from(long value) {
        throw Stub.called();
    }

    public static final EValue from(double value) {
        throw Stub.called();
    }

    public static final EValue from(String value) {
        throw Stub.called();
    }

    public static final EValue fromByteArray(byte[] bytes) {
        throw Stub.called();
    }

    /** Kotlin code calls the static methods through it. */
    public static final class Companion {
        private Companion() {}
    }
}
