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
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.json.JSONObject;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Reads a bundle of the kit, and refuses what was altered. */
public final class BundleTest {
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    private File pushed() throws Exception {
        return Samples.push(folder.getRoot(), "b");
    }

    private static Bundle open(File at) throws KitException {
        return Bundle.open("b", Store.folder(at));
    }

    private static String refused(org.junit.function.ThrowingRunnable what) {
        return assertThrows(KitException.class, what).getMessage();
    }

    @Test
    public void saysWhatItIs() throws Exception {
        File at = pushed();
        Bundle bundle = open(at);
        assertEquals("mobilenet_v2", bundle.model());
        assertTrue(bundle.formats().containsAll(Arrays.asList("onnx", "lite")));
        assertEquals(1000, bundle.labels().size());
        assertEquals(Digest.sha256(Files.readAllBytes(new File(at, "bundle.json").toPath())),
                bundle.hash);
    }

    @Test
    public void theInputThatIsMeasuredWithIsTheFirstOne() throws Exception {
        File at = pushed();
        Bundle bundle = open(at);
        File file = new File(at, "golden/input.npy");
        Npy all = Npy.parse(Files.readAllBytes(file.toPath()), "input.npy");
        ThreadMXBean memory = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        bundle.firstInput("onnx"); // classes are loaded
        long before = memory.getThreadAllocatedBytes(thread);
        float[] first = bundle.firstInput("onnx");
        long taken = memory.getThreadAllocatedBytes(thread) - before;
        assertArrayEquals(all.row(0), first, 0f);
        assertTrue(taken + " bytes of " + file.length(), taken < file.length() / 2);
        assertTrue(refused(() -> bundle.firstInput("tflite")).contains("tflite"));
        Samples.damage(file); // behind the first row
        assertTrue(refused(() -> bundle.firstInput("onnx")).contains("was altered"));
    }

    @Test
    public void aModelIsUnpackedOnceAndChecked() throws Exception {
        File models = folder.newFolder();
        Bundle bundle = open(pushed());
        File model = bundle.modelFile("onnx", models);
        assertEquals(bundle.modelSha256("onnx") + ".onnx", model.getName());
        assertEquals(model, bundle.modelFile("onnx", models));
        Samples.damage(model); // a file of the cache that went bad is unpacked again
        assertEquals(bundle.modelSha256("onnx"),
                Digest.sha256(Files.readAllBytes(bundle.modelFile("onnx", models).toPath())));
        assertEquals(1, models.list().length);
    }

    @Test
    public void twoThreadsThatUnpackTheSameModelBothGetAllOfIt() throws Exception {
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
    public void aHashThatIsAPathIsRefused() throws Exception {
        File at = pushed();
        String text = new String(
                Files.readAllBytes(new File(at, "bundle.json").toPath()), StandardCharsets.UTF_8);
        String evil = text.replace("\"sha256\": \"", "\"sha256\": \"../../");
        assertFalse(evil.equals(text));
        assertTrue(refused(() -> fromText(evil)).contains("no SHA-256"));
    }

    @Test
    public void alteredFilesAreRefused() throws Exception {
        File at = pushed();
        File models = folder.newFolder();
        for (String file : new String[] {"model.onnx", "labels.txt", "golden/onnx.npy"}) {
            Samples.damage(new File(at, file));
        }
        Bundle bundle = open(at);
        String model = refused(() -> bundle.modelFile("onnx", models));
        assertTrue(model, model.contains("model.onnx") && model.contains("altered"));
        assertEquals(0, models.list().length);
        assertTrue(refused(bundle::labels).contains("labels.txt"));
        assertTrue(refused(() -> bundle.golden("onnx")).contains("golden/onnx.npy"));
    }

    @Test
    public void whatIsMissingIsNotOffered() throws Exception {
        File at = pushed();
        assertTrue(new File(at, "model.ptl").delete());
        assertTrue(open(at).formats().contains("onnx"));
        assertFalse(open(at).formats().contains("lite"));
    }

    @Test
    public void aNewerSchemaAndOtherTextAreRefused() throws Exception {
        File at = pushed();
        File file = new File(at, "bundle.json");
        JSONObject json = new JSONObject(
                new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8));
        String newer = json.put("schema_version", 99).toString();
        assertTrue(refused(() -> fromText(newer)).contains("schema 99"));
        assertTrue(refused(() -> fromText("{}")).contains("damaged"));
        assertTrue(refused(() -> fromText("no json")).contains("damaged"));
        assertTrue(refused(() -> open(folder.newFolder())).contains("no bundle"));
    }

    @Test
    public void aFileOutsideIsRefused() throws Exception {
        File at = pushed();
        String text = new String(
                Files.readAllBytes(new File(at, "bundle.json").toPath()), StandardCharsets.UTF_8);
        for (String outside : new String[] {"../labels.txt", "/labels.txt", "a/../../labels.txt"}) {
            String evil = text.replace("\"labels.txt\": {", "\"" + outside + "\": {");
            assertFalse(evil.equals(text));
            assertTrue(refused(() -> fromText(evil)).contains("outside"));
        }
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
