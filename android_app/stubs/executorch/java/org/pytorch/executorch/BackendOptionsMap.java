package org.pytorch.executorch;

/** See {@link Module}. */
public final class BackendOptionsMap {
    public BackendOptionsMap() {
        throw Stub.called();
    }

    public final BackendOptionsMap setInt(String backendName, String key, int value) {
        throw Stub.called();
    }

    public final boolean isEmpty() {
        throw Stub.called();
    }
}
