package org.pytorch.executorch;

/**
 * To compile against where the AAR of ExecuTorch cannot be had; never packed. Only what {@code
 * org.mobilekit.executorch} calls. Where the AAR resolves, the app is compiled against its own
 * classes instead, so that a difference shows there.
 */
public class Module {
    public static final int LOAD_MODE_MMAP = 1;

    private Module() {}

    public static Module load(String path, int mode, int threads) {
        throw stub();
    }

    public int loadMethod(String name) {
        throw stub();
    }

    public EValue[] forward(EValue... inputs) {
        throw stub();
    }

    public void destroy() {
        throw stub();
    }

    static RuntimeException stub() {
        return new UnsupportedOperationException("a stub: ExecuTorch's AAR is not packed");
    }
}
