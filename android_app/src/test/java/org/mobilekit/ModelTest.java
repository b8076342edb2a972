package org.mobilekit;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.content.Context;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;

/** Runs a model with an input and output of each type in ONNX Runtime. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
public final class ModelTest {
    private final Context context = RuntimeEnvironment.getApplication();
    private File at;

    @Before
    public void push() throws Exception {
        at = Samples.pushTensors(context.getFilesDir(), "tensors");
    }

    private static void assertNumbers(Tensor actual, double... expected) {
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], actual.at(i), 0);
        }
        assertEquals(expected.length, actual.size());
    }

    @Test
    public void acceptsAndReturnsTensorsOfEveryType() throws Exception {
        List<Tensor> inputs = new ArrayList<>(Arrays.asList(
                Tensor.of(new long[] {1L << 53, -2, 3, 4}, 1, 4),
                Tensor.of(DType.BOOL, ByteBuffer.wrap(new byte[] {1, 0, 0, 1}), 1, 4),
                Tensor.of(new float[] {0.5f, 1, 1, -4}, 1, 4),
                // 1, 2, -2, 16384, the smallest positive number and 0.5 in float16
                Tensor.ofHalves(new short[] {0x3c00, 0x4000, (short) 0xc000, 0x7400, 1, 0x3800},
                        2, 3),
                Tensor.of(DType.UINT8, ByteBuffer.wrap(new byte[] {1, 2, -1}), 3),
                Tensor.of(new int[] {Integer.MAX_VALUE, -7}, 2)));
        try (Model model = Model.load(context, "tensors", "onnx", 1)) {
            List<Tensor> answers = model.answer(inputs);
            assertEquals("float32:1,4;int64:1,4;bool:1,4;float16:2,3;uint8:3;int32:",
                    Tensor.describe(answers));
            assertNumbers(answers.get(0), 1L << 53, -2, 3, 0);
            assertEquals((1L << 53) + 1, answers.get(1).data().getLong(0));
            assertNumbers(answers.get(2), 0, 1, 1, 0);
            assertNumbers(answers.get(3), 2, 4, -4, 32768, 2 * Math.pow(2, -24), 1);
            assertNumbers(answers.get(4), 255, 2, 1);
            assertNumbers(answers.get(5), Integer.MAX_VALUE - 7);
            assertArrayEquals(new float[] {255, 2, 1}, answers.get(4).toFloats(), 0f);
            inputs.remove(5);
            assertTrue(messageFor(model, inputs).startsWith(
                    "The model takes [int64 “ids” [1, 4],"));
            inputs.add(Tensor.of(new float[2], 2));
            assertTrue(messageFor(model, inputs).endsWith("uint8:3;float32:2"));
        }
    }

    private static String messageFor(Model model, List<Tensor> inputs) {
        return assertThrows(KitException.class, () -> model.answer(inputs)).getMessage();
    }

    @Test
    public void goldenOutputsMatchTheWorkstation() throws Exception {
        Model model = Model.load(context, "tensors", "onnx", 2);
        Golden.Report report = model.check();
        assertTrue(report.matches());
        assertEquals(3, report.images);
        assertEquals(3, report.agreeing);
        assertEquals(0, report.maxAbs, 0);
        model.close();
        model.close();
        assertEquals("This model is closed",
                messageFor(model, Bundle.open(context, "tensors").firstInputs("onnx")));
    }

    @Test
    public void oneDifferentOutputFailsTheCheck() throws Exception {
        Golden golden = Bundle.open(context, "tensors").golden("onnx");
        try (Model model = Model.load(context, "tensors", "onnx", 1)) {
            Golden.Report report = golden.check(inputs -> {
                List<Tensor> answers = new ArrayList<>(model.answer(inputs));
                answers.set(4, Tensor.of(DType.UINT8, ByteBuffer.wrap(new byte[3]), 3));
                return answers;
            });
            assertFalse(report.matches());
            assertEquals(0, report.sqnrDb, 0);
            assertEquals(3, report.agreeing); // counts the first output only
            KitException e = assertThrows(KitException.class, () -> golden.check(
                    inputs -> Collections.singletonList(Tensor.of(new float[4], 1, 4))));
            assertTrue(e.getMessage(), e.getMessage().startsWith(
                    "The model returned float32:1,4 instead of float32:1,4;int64:1,4;"));
        }
    }

    @Test
    public void unsupportedTypesAreNamed() throws Exception {
        Bundle bundle = Bundle.open(context, "tensors");
        for (String format : new String[] {"lite", "executorch"}) {
            KitException e = assertThrows(KitException.class,
                    () -> Runtimes.check(Runtimes.create(format), format, bundle));
            assertEquals("The " + format + " runtime for Android does not support tensors of bool,"
                    + " the type of “mask”", e.getMessage());
        }
        assertFalse(Runtimes.create("lite").supports(DType.FLOAT16));
        assertTrue(Runtimes.create("executorch").supports(DType.FLOAT16));
        Runtimes.check(Runtimes.create("onnx"), "onnx", bundle);
    }

    @Test
    public void aDamagedFileIsRejected() throws Exception {
        Samples.damage(new File(at, "model-fp32.onnx"));
        KitException e = assertThrows(KitException.class,
                () -> Model.load(context, "tensors", "onnx", 1));
        assertTrue(e.getMessage(), e.getMessage().contains("was altered"));
    }
}
