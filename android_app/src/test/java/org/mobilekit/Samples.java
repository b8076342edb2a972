package org.mobilekit;

import static org.junit.Assume.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.stream.Stream;
import org.json.JSONArray;
import org.json.JSONObject;

/** Files that samples.py writes. Tests that need a missing file are skipped with the reason. */
public final class Samples {
    public static final String BUNDLE = "sample";

    private Samples() {}

    public static Path folder() {
        String folder = System.getProperty("kit.samples", "");
        assumeTrue("no samples: run samples.py and pass its folder as -Dkit.samples",
                !folder.isEmpty() && Files.isDirectory(Paths.get(folder)));
        return Paths.get(folder);
    }

    /** The app's own folder. */
    public static Path app() {
        return Paths.get(System.getProperty("kit.app", "."));
    }

    static float[] floats(Path file) throws IOException {
        ByteBuffer data = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        float[] values = new float[data.remaining() / Float.BYTES];
        data.asFloatBuffer().get(values);
        return values;
    }

    /** Copies the sample bundle into the app's files, like one that was pushed. */
    public static File push(File filesDir, String name) throws IOException {
        return copy(folder().resolve("assets/bundles").resolve(BUNDLE), filesDir, name);
    }

    /** Copies the bundle whose model has tensors of every type and no picture input. */
    public static File pushTensors(File filesDir, String name) throws IOException {
        return copy(folder().resolve("others/tensors"), filesDir, name);
    }

    /** Copies the bundle of LiteRT files. */
    public static File pushTflite(File filesDir, String name) throws IOException {
        return copy(optional("others/tflite"), filesDir, name);
    }

    /** The native library of the LiteRT archive, prepared for this machine's JVM. */
    public static Path natives() {
        return optional("natives");
    }

    private static Path optional(String part) {
        Path path = folder().resolve(part);
        assumeTrue("samples.py could not write " + part, Files.isDirectory(path));
        return path;
    }

    private static File copy(Path from, File filesDir, String name) throws IOException {
        Path to = filesDir.toPath().resolve(Contract.FILES_BUNDLES).resolve(name);
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Path target = to.resolve(from.relativize(file).toString());
                if (Files.isDirectory(file)) {
                    Files.createDirectories(target);
                } else {
                    Files.copy(file, target);
                }
            }
        }
        return to.toFile();
    }

    /** Adds an fp32 artifact to a bundle, with the same ONNX file. */
    public static void addFloatFile(File bundle) throws Exception {
        Path manifest = bundle.toPath().resolve("bundle.json");
        JSONObject json = new JSONObject(
                new String(Files.readAllBytes(manifest), StandardCharsets.UTF_8));
        JSONArray artifacts = json.getJSONArray("artifacts");
        for (int i = artifacts.length() - 1; i >= 0; i--) {
            JSONObject artifact = artifacts.getJSONObject(i);
            if (artifact.getString("format").equals("onnx")) {
                artifacts.put(new JSONObject(artifact.toString()).put("precision", "fp32"));
            }
        }
        JSONObject outputs = json.getJSONObject("golden").getJSONObject("outputs");
        outputs.put("onnx-fp32", outputs.get("onnx-int8"));
        Files.write(manifest, json.toString().getBytes(StandardCharsets.UTF_8));
    }

    /** Flips one bit in the middle of a file. */
    public static void damage(File file) throws IOException {
        byte[] data = Files.readAllBytes(file.toPath());
        data[data.length / 2] ^= 1;
        Files.write(file.toPath(), data);
    }
}
