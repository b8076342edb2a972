package org.mobilekit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import java.io.File;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** Tests the library as apps use it. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class ClassifierTest {
    private final Context context = RuntimeEnvironment.getApplication();

    private static Bitmap picture() {
        return BitmapFactory.decodeFile(
                Samples.folder().resolve("assets/picture.jpg").toString());
    }

    @Test
    public void classifiesChecksAndCloses() throws Exception {
        Bitmap picture = picture();
        Classifier classifier = Classifier.load(context, Samples.BUNDLE, "onnx", 1);
        Classifier.Result result = classifier.classify(picture);
        assertEquals(1000, result.logits.length);
        assertTrue(result.inferenceNs > 0 && result.preprocessNs > 0);
        assertTrue(classifier.check().matches());
        classifier.close();
        classifier.close();
        assertThrows(KitException.class, () -> classifier.classify(picture));
    }

    @Test
    public void sameAnswerTwiceAndWithTwoThreads() throws Exception {
        Bitmap picture = picture();
        try (Classifier one = Classifier.load(context, Samples.BUNDLE, "onnx", 1);
                Classifier two = Classifier.load(context, Samples.BUNDLE, "onnx", 2)) {
            Answer best = one.classify(picture).top(1).get(0);
            assertEquals(best.index, one.classify(picture).top(1).get(0).index);
            assertEquals(best.index, two.classify(picture).top(1).get(0).index);
        }
    }

    @Test
    public void loadFailuresThrow() throws Exception {
        Samples.folder();
        assertThrows(KitException.class, () -> Classifier.load(context, "absent", "onnx", 1));
        assertThrows(KitException.class, () -> Classifier.load(context, "../x", "onnx", 1));
        assertThrows(KitException.class,
                () -> Classifier.load(context, Samples.BUNDLE, "tflite", 1));
    }

    @Test
    public void aDamagedModelFileIsReportedByTheRuntime() throws Exception {
        File at = Samples.push(context.getFilesDir(), "b");
        File model = new File(at, "model-int8.onnx");
        java.nio.file.Files.write(model.toPath(), new byte[100]);
        File manifest = new File(at, "bundle.json");
        String text = new String(java.nio.file.Files.readAllBytes(manifest.toPath()), "UTF-8");
        org.json.JSONObject json = new org.json.JSONObject(text);
        json.getJSONObject("files").getJSONObject("model-int8.onnx").put("size", 100)
                .put("sha256", Digest.sha256(new byte[100]));
        java.nio.file.Files.write(manifest.toPath(), json.toString().getBytes("UTF-8"));
        KitException e = assertThrows(KitException.class,
                () -> Classifier.load(context, "b", "onnx", 1));
        assertTrue(e.getMessage(), e.getMessage().contains("onnx runtime cannot load"));
    }
}
