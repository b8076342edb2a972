package org.pytorch.executorch;

/** See {@link Module}. */
public final class MethodMetadata {
    public MethodMetadata(String name, String[] backends) {
        throw Stub.called();
    }

    public final String getName() {
        throw Stub.called();
    }

    public final String[] getBackends() {
        throw Stub.called();
    }
}
