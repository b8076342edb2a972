package org.pytorch.executorch;

/** See {@link Module}. */
public class EValue {
    private EValue() {}

    public static EValue from(Tensor tensor) {
        throw Module.stub();
    }

    public Tensor toTensor() {
        throw Module.stub();
    }
}
