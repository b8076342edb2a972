package org.mobilekit;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The runtime of each format. The build of an APK selects which ones it includes. */
public final class Runtimes {
    public static final Map<String, String> CLASSES;

    static {
        Map<String, String> classes = new LinkedHashMap<>();
        classes.put("onnx", "org.mobilekit.onnx.OnnxRuntime");
        classes.put("lite", "org.mobilekit.lite.LiteRuntime");
        classes.put("executorch", "org.mobilekit.executorch.ExecuTorchRuntime");
        classes.put("litert", "org.mobilekit.litert.LiteRtRuntime");
        CLASSES = Collections.unmodifiableMap(classes);
    }

    private Runtimes() {}

    /** Creates a runtime for a format. */
    public static ModelRuntime create(String format) throws KitException {
        String name = CLASSES.get(format);
        if (name == null) {
            throw new KitException("This app does not support the format “" + format
                    + "”; it supports "
                    + String.join(", ", CLASSES.keySet()));
        }
        try {
            return (ModelRuntime) Class.forName(name).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException | LinkageError e) {
            throw new KitException("The runtime for " + format + " is not in this app: build it"
                    + " with --runtime " + format, e);
        }
    }

    /** Whether the runtime's class is in this app. Its native library may still be missing. */
    public static boolean has(String format) {
        String name = CLASSES.get(format);
        if (name == null) {
            return false;
        }
        try {
            Class.forName(name, false, Runtimes.class.getClassLoader());
            return true;
        } catch (ClassNotFoundException | LinkageError e) {
            return false;
        }
    }

    /** Checks that a runtime supports the types of all inputs and outputs of a model. */
    public static void check(ModelRuntime runtime, String format, Bundle bundle)
            throws KitException {
        List<TensorSpec> all = new ArrayList<>(bundle.inputs());
        all.addAll(bundle.outputs());
        for (TensorSpec spec : all) {
            if (!runtime.supports(spec.dtype)) {
                throw new KitException("The " + format + " runtime for Android does not support"
                        + " tensors of " + spec.dtype.label + ", the type of “" + spec.name + "”");
            }
        }
    }
}
