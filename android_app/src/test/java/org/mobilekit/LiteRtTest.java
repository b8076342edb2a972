package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.content.Context;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;

/** Tests the Java classes and native library of the LiteRT archive that APKs include. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
public final class LiteRtTest {
    private static final String[] LAYOUTS = {"litert-fp32", "litert-nhwc-fp32"};

    private final Context context = RuntimeEnvironment.getApplication();
    private File at;

    @Before
    public void load() throws Exception {
        at = Samples.pushTflite(context.getFilesDir(), "tflite");
        Path natives = Samples.natives();
        String order = new String(
                Files.readAllBytes(natives.resolve("order.txt")), StandardCharsets.UTF_8);
        for (String name : order.split("\n")) {
            System.load(natives.resolve(name).toString()); // repeated calls have no effect
        }
    }

    @Test
    public void bothLayoutsMatchTheWorkstation() throws Exception {
        for (String artifact : LAYOUTS) {
            try (Model model = Model.load(context, "tflite", artifact, 1)) {
                Golden.Report report = model.check();
                assertTrue(artifact, report.matches());
                assertEquals(artifact, 0, report.maxAbs, 0);
                assertEquals(3, report.images);
            }
        }
    }

    @Test
    public void aSecondInputReplacesTheFirst() throws Exception {
        List<Tensor> inputs = Bundle.open(context, "tflite").firstInputs(LAYOUTS[1]);
        float[] picture = new float[24];
        for (int i = 0; i < picture.length; i++) {
            picture[i] = i;
        }
        try (Model model = Model.load(context, "tflite", LAYOUTS[1], 2)) {
            model.answer(inputs);
            List<Tensor> others = new ArrayList<>(inputs);
            others.set(0, Tensor.of(picture, 1, 3, 2, 4));
            List<Tensor> answers = model.answer(others);
            assertEquals("float32:1,3,2,4;int64:1,4;int32:2;bool:1,4;uint8:3",
                    Tensor.describe(answers));
            float[] doubled = answers.get(0).toFloats();
            assertEquals(46f, doubled[23], 0f);
            assertArrayEquals(new float[] {0, 2, 4, 6}, Arrays.copyOf(doubled, 4), 0f);
        }
    }

    @Test
    public void reportsTypesAndVersionOfTheLibrary() throws Exception {
        ModelRuntime runtime = Runtimes.create("litert");
        assertFalse(runtime.supports(DType.FLOAT16));
        runtime.prepare(1);
        assertTrue(runtime.version(), runtime.version().startsWith("2."));
        runtime.load(new File(at, "model-fp32.tflite"));
        KitException e = assertThrows(KitException.class,
                () -> runtime.inputs(new ArrayList<>()));
        assertEquals("The model takes 5 inputs, not 0", e.getMessage());
        List<Tensor> inputs = Bundle.open(context, "tflite").firstInputs(LAYOUTS[0]);
        inputs.set(1, inputs.get(2));
        e = assertThrows(KitException.class, () -> runtime.inputs(inputs));
        assertEquals("Input 1 of the file is INT64, not int32", e.getMessage());
        runtime.close();
        runtime.close();
    }

    @Test
    public void invalidModelFilesAreRejected() throws Exception {
        File file = new File(at, "text.tflite");
        for (String text : new String[] {"", "this is no model of any kind", "\30\0\0\0TFL3\1\0"}) {
            Files.write(file.toPath(), text.getBytes(StandardCharsets.UTF_8));
            try (ModelRuntime runtime = Runtimes.create("litert")) {
                runtime.prepare(1);
                assertThrows(text, Exception.class, () -> runtime.load(file));
            }
        }
    }
}
