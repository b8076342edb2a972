package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.File;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Reads bundles of kit and rejects altered ones. */
public final class BundleTest {
    @Rule public final TemporaryFolder folder = new TemporaryFolder();

    private File pushed() throws Exception {
        return Samples.push(folder.getRoot(), "b");
    }

    static Bundle open(File at) throws KitException {
        return Bundle.open("b", Store.folder(at));
    }

    static String messageOf(org.junit.function.ThrowingRunnable call) {
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
        List<Tensor> first = bundle.firstInputs("onnx");
        assertEquals(1, first.size());
        assertArrayEquals(all.row(0).toFloats(), first.get(0).toFloats(), 0f);
        assertTrue(messageOf(() -> bundle.firstInputs("tflite")).contains("tflite"));
        Samples.damage(file); // after the first row
        assertTrue(messageOf(() -> bundle.firstInputs("onnx")).contains("was altered"));
    }

    @Test
    public void firstInputsDoNotLoadTheWholeFile() throws Exception {
        File at = pushed();
        long size = new File(at, "golden/input.npy").length();
        long row = open(at).inputs().get(0).bytes;
        ThreadMXBean memory = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        open(at).firstInputs("onnx"); // loads the classes
        Bundle bundle = open(at);
        long before = memory.getThreadAllocatedBytes(thread);
        bundle.firstInputs("onnx");
        long allocated = memory.getThreadAllocatedBytes(thread) - before;
        // A growing buffer, its copy, and buffers that do not depend on the picture's size.
        long limit = 5 * row + (1 << 20);
        assertTrue(allocated + " bytes of " + size, allocated < limit);
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
}
