package org.pytorch.executorch;

/** What a stub throws: Kotlin's own error, so that these classes need Kotlin's library as well. */
final class Stub {
    private Stub() {}

    static Error called() {
        return new kotlin.NotImplementedError("a stub: ExecuTorch's AAR is not packed");
    }
}
