package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.mobilekit.BundleTest.messageOf;
import static org.mobilekit.BundleTest.open;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Iterator;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Reads manifests of older kits and rejects newer, hostile and damaged ones. */
public final class ManifestTest {
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    private File pushed() throws Exception {
        return Samples.push(folder.getRoot(), "b");
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
