package org.pytorch.executorch;

import java.io.Closeable;

/**
 * The public API of ExecuTorch 1.5.1 for Android as Java sees it, to compile against where its AAR
 * cannot be had; never packed. The AAR is Kotlin: no method names a checked exception, companions
 * are nested classes, and the Kotlin library is needed to load it.
 *
 * <p>`tests/test_app_executorch.py` compares these classes with the AAR where Maven serves it.
 */
public class Module implements Closeable {
    public static final Companion Companion = null;
    public static final int LOAD_MODE_FILE = 0;
    public static final int LOAD_MODE_MMAP = 1;
    public static final int LOAD_MODE_MMAP_USE_MLOCK = 2;
    public static final int LOAD_MODE_MMAP_USE_MLOCK_IGNORE_ERRORS = 3;

    private Module() {}

    public EValue[] forward(EValue... inputs) {
        throw Stub.called();
    }

    public EValue[] execute(String methodName, EValue... inputs) {
        throw Stub.called();
    }

    public void loadMethod(String methodName) {
        throw Stub.called();
    }

    public String[] getMethods() {
        throw Stub.called();
    }

    public MethodMetadata getMethodMetadata(String name) {
        throw Stub.called();
    }

    public String[] readLogBuffer() {
        throw Stub.called();
    }

    public boolean etdump() {
        throw Stub.called();
    }

    public boolean etdump(String outputPath) {
        throw Stub.called();
    }

    public void destroy() {
        throw Stub.called();
    }

    public void close() {
        throw Stub.called();
    }

    public static final Module load(String modelPath, int loadMode, int numThreads) {
        throw Stub.called();
    }

    public static final Module load(
            String modelPath, BackendOptionsMap options, int loadMode, int numThreads) {
        throw Stub.called();
    }

    public static final String[] readLogBufferStatic() {
        throw Stub.called();
    }

    public static final Module load(String modelPath, int loadMode) {
        throw Stub.called();
    }

    public static final Module load(String modelPath) {
        throw Stub.called();
    }

    public static final Module load(String modelPath, BackendOptionsMap options, int loadMode) {
        throw Stub.called();
    }

    public static final Module load(String modelPath, BackendOptionsMap options) {
        throw Stub.called();
    }

    /** Kotlin code calls the static methods through it. */
    public static final class Companion {
        private Companion() {}
    }
}
