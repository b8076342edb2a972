package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Reads bundles of kit and rejects altered ones. */
public final class BundleTest {
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    private File pushed() throws Exception {
        return Samples.push(folder.getRoot(), "b");
    }

    private static Bundle open(File at) throws KitException {
        return Bundle.open("b", Store.folder(at));
    }

    private static String messageOf(org.junit.function.ThrowingRunnable call) {
        return assertThrows(KitException.class, call).getMessage();
    }

    @Test
    public void describesItsContents() throws Exception {
        File at = pushed();
        Bundle bundle = open(at);
        assertEquals("mobilenet_v2", bundle.model());
        assertTrue(bundle.artifacts().containsAll(Arrays.asList("onnx-int8", "lite-int8")));
        assertEquals(1000, bundle.labels().size());
        assertEquals(Digest.sha256(Files.readAllBytes(new File(at, "bundle.json").toPath())),
                bundle.hash);
    }

    @Test
    public void firstInputsReturnTheFirstRow() throws Exception {
        File at = pushed();
        Bundle bundle = open(at);
        File file = new File(at, "golden/input.npy");
        Npy all = Npy.parse(Files.readAllBytes(file.toPath()), bundle.inputs().get(0), "x");
        ThreadMXBean memory = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        bundle.firstInputs("onnx"); // loads the classes
        long before = memory.getThreadAllocatedBytes(thread);
        List<Tensor> first = bundle.firstInputs("onnx");
        long allocated = memory.getThreadAllocatedBytes(thread) - before;
        assertEquals(1, first.size());
        assertArrayEquals(all.row(0).toFloats(), first.get(0).toFloats(), 0f);
        assertTrue(allocated + " bytes of " + file.length(), allocated < file.length() / 2);
        assertTrue(messageOf(() -> bundle.firstInputs("tflite")).contains("tflite"));
        Samples.damage(file); // after the first row
        assertTrue(messageOf(() -> bundle.firstInputs("onnx")).contains("was altered"));
    }

    @Test
    public void aModelIsUnpackedOnceAndVerified() throws Exception {
        File models = folder.newFolder();
        Bundle bundle = open(pushed());
        File model = bundle.modelFile("onnx", models);
        assertEquals(bundle.modelSha256("onnx") + ".onnx", model.getName());
        assertEquals(model, bundle.modelFile("onnx", models));
        Samples.damage(model); // a damaged file in the cache is unpacked again
        assertEquals(bundle.modelSha256("onnx"),
                Digest.sha256(Files.readAllBytes(bundle.modelFile("onnx", models).toPath())));
        assertEquals(1, models.list().length);
    }

    @Test
    public void concurrentUnpackingGivesCompleteFiles() throws Exception {
        File models = folder.newFolder();
        Bundle bundle = open(pushed());
        Callable<String> unpack = () -> Digest.sha256(
                Files.readAllBytes(bundle.modelFile("onnx", models).toPath()));
        ExecutorService threads = Executors.newFixedThreadPool(4);
        for (Future<String> hash : threads.invokeAll(Collections.nCopies(4, unpack))) {
            assertEquals(bundle.modelSha256("onnx"), hash.get());
        }
        threads.shutdown();
        assertEquals(1, models.list().length);
    }

    @Test
    public void aHashThatIsAPathIsRejected() throws Exception {
        File at = pushed();
        String text = new String(
                Files.readAllBytes(new File(at, "bundle.json").toPath()), StandardCharsets.UTF_8);
        String evil = text.replace("\"sha256\": \"", "\"sha256\": \"../../");
        assertFalse(evil.equals(text));
        assertTrue(messageOf(() -> fromText(evil)).contains("not a SHA-256"));
    }

    @Test
    public void alteredFilesAreRejected() throws Exception {
        File at = pushed();
        File models = folder.newFolder();
        for (String file : new String[] {"model-int8.onnx", "labels.txt", "golden/onnx-int8.npy"}) {
            Samples.damage(new File(at, file));
        }
        Bundle bundle = open(at);
        String model = messageOf(() -> bundle.modelFile("onnx", models));
        assertTrue(model, model.contains("model-int8.onnx") && model.contains("altered"));
        assertEquals(0, models.list().length);
        assertTrue(messageOf(bundle::labels).contains("labels.txt"));
        assertTrue(messageOf(() -> bundle.golden("onnx")).contains("golden/onnx-int8.npy"));
    }

    @Test
    public void missingFilesAreNotListed() throws Exception {
        File at = pushed();
        assertTrue(new File(at, "model-int8.ptl").delete());
        assertTrue(open(at).artifacts().contains("onnx-int8"));
        assertFalse(open(at).artifacts().contains("lite-int8"));
    }

    @Test
    public void aFormatMayHaveSeveralFiles() throws Exception {
        File at = pushed();
        Samples.addFloatFile(at);
        Bundle bundle = open(at);
        assertTrue(bundle.artifacts().containsAll(Arrays.asList("onnx-fp32", "onnx-int8")));
        assertEquals("onnx", bundle.format("onnx-fp32"));
        assertEquals("fp32", bundle.precision("onnx-fp32"));
        assertEquals("int8", bundle.precision("onnx-int8"));
        String message = messageOf(() -> bundle.golden("onnx"));
        assertTrue(message, message.startsWith("The bundle has 2 onnx files; it has "));
        assertEquals(bundle.golden("onnx-int8").rows(), bundle.golden("onnx-fp32").rows());
    }

    @Test
    public void newerSchemasAndInvalidJsonAreRejected() throws Exception {
        File at = pushed();
        File file = new File(at, "bundle.json");
        JSONObject json = new JSONObject(
                new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8));
        String newer = json.put("schema_version", 99).toString();
        assertTrue(messageOf(() -> fromText(newer)).contains("schema 99"));
        assertTrue(messageOf(() -> fromText("{}")).contains("damaged"));
        assertTrue(messageOf(() -> fromText("no json")).contains("damaged"));
        assertTrue(messageOf(() -> open(folder.newFolder())).contains("no bundle"));
    }

    @Test
    public void pathsOutsideTheFolderAreRejected() throws Exception {
        File at = pushed();
        String text = new String(
                Files.readAllBytes(new File(at, "bundle.json").toPath()), StandardCharsets.UTF_8);
        for (String outside : new String[] {"../labels.txt", "/labels.txt", "a/../../labels.txt"}) {
            String evil = text.replace("\"labels.txt\": {", "\"" + outside + "\": {");
            assertFalse(evil.equals(text));
            assertTrue(messageOf(() -> fromText(evil)).contains("outside"));
        }
    }

    private static JSONObject read(File at) throws Exception {
        return new JSONObject(new String(
                Files.readAllBytes(new File(at, "bundle.json").toPath()), StandardCharsets.UTF_8));
    }

    /** Returns the sample's manifest in schema 2. */
    private static JSONObject legacy(File at) throws Exception {
        JSONObject json = read(at).put("schema_version", 2);
        JSONObject signature = (JSONObject) json.remove("signature");
        json.remove("task");
        json.put("input", signature.getJSONArray("inputs").get(0));
        json.put("output", signature.getJSONArray("outputs").get(0));
        JSONObject golden = json.getJSONObject("golden");
        golden.put("input", ((JSONArray) golden.remove("inputs")).get(0));
        JSONObject outputs = golden.getJSONObject("outputs");
        JSONObject byFormat = new JSONObject();
        for (Iterator<String> names = outputs.keys(); names.hasNext(); ) {
            String name = names.next();
            byFormat.put(name.replace("-int8", ""), outputs.getJSONArray(name).get(0));
        }
        golden.put("outputs", byFormat);
        JSONArray artifacts = json.getJSONArray("artifacts");
        for (int i = 0; i < artifacts.length(); i++) {
            artifacts.getJSONObject(i).remove("precision");
            artifacts.getJSONObject(i).remove("backend");
        }
        return json;
    }

    @Test
    public void bundlesOfOlderKitsAreRead() throws Exception {
        File at = pushed();
        Bundle today = open(at);
        for (int schema = 1; schema <= 2; schema++) {
            Files.write(new File(at, "bundle.json").toPath(), legacy(Samples.push(
                    folder.newFolder(), "b")).put("schema_version", schema).toString()
                    .getBytes(StandardCharsets.UTF_8));
            Bundle old = open(at);
            assertTrue(old.classifies());
            assertArrayEquals(today.preprocess().shape(), old.preprocess().shape());
            assertEquals(today.inputs().toString(), old.inputs().toString());
            assertArrayEquals(today.firstInputs("lite").get(0).toFloats(),
                    old.firstInputs("lite").get(0).toFloats(), 0f);
            assertEquals(today.golden("onnx").rows(), old.golden("onnx").rows());
            assertEquals(today.artifacts(), old.artifacts());
        }
    }

    @Test
    public void aBundleWithoutPicturesDescribesItsInputs() throws Exception {
        Bundle bundle = open(Samples.pushTensors(folder.getRoot(), "b"));
        assertFalse(bundle.classifies());
        assertEquals(null, bundle.preprocess());
        assertEquals("[int64 “ids” [1, 4], bool “mask” [1, 4], float32 “values” [1, 4],"
                + " float16 “gain” [2, 3], uint8 “pixels” [3], int32 “counts” [2]]",
                bundle.inputs().toString());
        List<Tensor> first = bundle.firstInputs("onnx");
        assertEquals("int64:1,4;bool:1,4;float32:1,4;float16:2,3;uint8:3;int32:2",
                Tensor.describe(first));
        assertEquals(3, bundle.golden("onnx").rows());
        assertTrue(messageOf(() -> Classifier.load(bundle, folder.newFolder(), "onnx", 1))
                .contains("is not an image classifier"));
    }

    @Test
    public void hostileManifestsAreRejectedWithShortMessages() throws Exception {
        File at = Samples.pushTensors(folder.getRoot(), "b");
        assertRejected(read(at), "signature.inputs", new JSONArray(), "0 inputs or outputs");
        assertRejected(read(at), "signature.outputs", ones(33), "33 inputs or outputs");
        assertRejected(read(at), "signature.inputs.0.shape", ones(1_000_000), "cannot hold");
        assertRejected(read(at), "signature.inputs.0.shape",
                new JSONArray("[4000000000, 4000000000]"), "cannot hold");
        assertRejected(read(at), "signature.inputs.0.dtype", "complex64", "complex64");
        assertRejected(read(at), "golden.inputs", new JSONArray("[\"golden/input.npy\"]"),
                "1 golden files for 6");
        assertRejected(read(at), "golden.outputs.onnx-fp32", "golden/onnx-fp32.npy",
                "1 golden files for 6");
        assertRejected(read(at), "signature", JSONObject.NULL, "damaged");
    }

    private static JSONArray ones(int count) {
        JSONArray list = new JSONArray();
        for (int i = 0; i < count; i++) {
            list.put(1);
        }
        return list;
    }

    /** Sets the value at a path of keys and indices, and expects a message when it is parsed. */
    private static void assertRejected(JSONObject json, String path, Object value, String part)
            throws Exception {
        Object at = json;
        String[] names = path.split("\\.");
        for (int i = 0; i < names.length - 1; i++) {
            at = at instanceof JSONArray ? ((JSONArray) at).get(Integer.parseInt(names[i]))
                    : ((JSONObject) at).get(names[i]);
        }
        ((JSONObject) at).put(names[names.length - 1], value);
        String message = messageOf(() -> fromText(json.toString()));
        assertTrue(message, message.contains(part));
        assertTrue(message, message.length() < 300);
    }

    @Test
    public void arraysThatDoNotMatchTheSignatureAreRejected() throws Exception {
        File at = Samples.pushTensors(folder.getRoot(), "b");
        JSONObject json = read(at);
        json.getJSONObject("signature").getJSONArray("inputs").getJSONObject(0)
                .put("shape", new JSONArray("[1, 100000000]"));
        Files.write(new File(at, "bundle.json").toPath(),
                json.toString().getBytes(StandardCharsets.UTF_8));
        String message = messageOf(() -> open(at).firstInputs("onnx"));
        assertEquals("golden/input.npy does not contain rows of int64 “ids” [1, 100000000]",
                message);
    }

    private static Bundle fromText(String text) throws KitException {
        byte[] data = text.getBytes(StandardCharsets.UTF_8);
        return Bundle.open("b", path -> {
            if (!path.equals("bundle.json")) {
                throw new FileNotFoundException(path);
            }
            return new ByteArrayInputStream(data);
        });
    }
}
