package org.pytorch.executorch;

/** See {@link Module}. */
public class ExecutorchRuntimeException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public static final Companion Companion = null;
    public static final int OK = 0;
    public static final int INTERNAL = 1;
    public static final int INVALID_STATE = 2;
    public static final int END_OF_METHOD = 3;
    public static final int ALREADY_LOADED = 4;
    public static final int NOT_SUPPORTED = 16;
    public static final int NOT_IMPLEMENTED = 17;
    public static final int INVALID_ARGUMENT = 18;
    public static final int INVALID_TYPE = 19;
    public static final int OPERATOR_MISSING = 20;
    public static final int REGISTRATION_EXCEEDING_MAX_KERNELS = 21;
    public static final int REGISTRATION_ALREADY_REGISTERED = 22;
    public static final int NOT_FOUND = 32;
    public static final int MEMORY_ALLOCATION_FAILED = 33;
    public static final int ACCESS_FAILED = 34;
    public static final int INVALID_PROGRAM = 35;
    public static final int INVALID_EXTERNAL_DATA = 36;
    public static final int OUT_OF_RESOURCES = 37;
    public static final int DELEGATE_INVALID_COMPATIBILITY = 48;
    public static final int DELEGATE_MEMORY_ALLOCATION_FAILED = 49;
    public static final int DELEGATE_INVALID_HANDLE = 50;

    public ExecutorchRuntimeException(int errorCode, String details) {
        throw Stub.called();
    }

    public final int getErrorCode() {
        throw Stub.called();
    }

    public ExecutorchRuntimeException(int errorCode, String details, Throwable cause) {
        throw Stub.called();
    }

    public final String getDetailedError() {
        throw Stub.called();
    }

    public static final RuntimeException makeExecutorchException(int errorCode, String details) {
        throw Stub.called();
    }

    public static final class ExecutorchInvalidArgumentException
            extends ExecutorchRuntimeException {
        private static final long serialVersionUID = 1;

        public ExecutorchInvalidArgumentException(String details) {
            super(INVALID_ARGUMENT, details);
        }
    }

    /** Kotlin code calls the static methods through it. */
    public static final class Companion {
        private Companion() {}
    }
}
