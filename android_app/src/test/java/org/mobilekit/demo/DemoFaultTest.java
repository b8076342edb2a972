package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;

import android.view.View;
import android.widget.RadioGroup;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.mobilekit.Digest;
import org.mobilekit.Samples;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.Shadows;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** The screen shows problems. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-420dpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class DemoFaultTest extends DemoTest {
    @Test
    public void aDamagedBundleIsReported() throws Exception {
        File bundle = Samples.push(context.getFilesDir(), "sample"); // overrides the assets
        Samples.damage(new File(bundle, "model-int8.onnx"));
        DemoActivity activity = start(null);
        assertTrue(shown(activity, R.id.problem));
        assertTrue(text(activity, R.id.problem).startsWith(
                "model-int8.onnx of the bundle “sample” was altered"));
        assertFalse(shown(activity, R.id.answer_card));
        assertFalse(shown(activity, R.id.speed_card));
        Screens.photograph(activity, "problem");
    }

    @Test
    public void anotherBundleCanReplaceADamagedOne() throws Exception {
        File other = Samples.push(context.getFilesDir(), "other");
        Files.write(new File(other, "bundle.json").toPath(), new byte[] {'{'});
        DemoActivity activity = start(null);
        activity.session().choose(activity.session().choice.withBundle("sample"));
        settled();
        activity.session().choose(activity.session().choice.withBundle("other"));
        settled();
        assertTrue(text(activity, R.id.problem).contains("“other” is damaged"));
        assertTrue(shown(activity, R.id.model_card) && shown(activity, R.id.bundles));
        assertFalse(shown(activity, R.id.formats));
        Fingers.tap(activity, R.id.choose);
        assertNotNull(Shadows.shadowOf(activity).getNextStartedActivity());
        Fingers.tap(activity, R.id.bundles);
        Fingers.tapInList(activity.session().bundles.indexOf("sample"));
        settled();
        settled();
        assertFalse(shown(activity, R.id.problem));
        assertTrue(shown(activity, R.id.formats));
    }

    @Test
    public void aModelThatIsNotAClassifierIsReported() throws Exception {
        Samples.pushTensors(context.getFilesDir(), "a-first"); // first by name, but not the default
        DemoActivity activity = start(null);
        assertEquals("sample", activity.session().choice.bundle);
        assertAnswersAsTheWorkstation(activity);
        Fingers.tap(activity, R.id.bundles);
        Fingers.tapInList(activity.session().bundles.indexOf("a-first"));
        settled();
        settled();
        assertEquals("“a-first” can be measured with kit app bench; this screen shows classifiers"
                + " of pictures only.", text(activity, R.id.problem));
        assertEquals("mobilenet_v2", text(activity, R.id.about));
        assertFalse(shown(activity, R.id.answer_card) || shown(activity, R.id.check_card));
        assertTrue(shown(activity, R.id.model_card) && shown(activity, R.id.bundles));
        Screens.photograph(activity, "no-classifier");
    }

    @Test
    public void alteredGoldenOutputsDiffer() throws Exception {
        File bundle = Samples.push(context.getFilesDir(), "sample");
        byte[] lite = Files.readAllBytes(new File(bundle, "golden/lite-int8.npy").toPath());
        Files.write(new File(bundle, "golden/onnx-int8.npy").toPath(), reversed(lite));
        updateHash(bundle, "golden/onnx-int8.npy");
        DemoActivity activity = start(null);
        Fingers.tap(activity, R.id.check);
        settled();
        assertEquals("Differs from the workstation", text(activity, R.id.verdict_word));
        // The floor of this bundle, which is lower with random weights.
        double floor = activity.session().report.floor;
        assertEquals(floor, floor(bundle), 0);
        assertTrue(text(activity, R.id.verdict_numbers).contains(
                "At least " + new Words(activity).short3(floor) + " dB"));
        View check = activity.findViewById(R.id.check_card);
        check.getParent().requestChildFocus(check, check);
        Screens.settle(activity.session());
        Screens.photograph(activity, "differs");
    }

    /** Returns the limit in bundle.json for ONNX against the quantized graph, in dB. */
    private static double floor(File bundle) throws Exception {
        JSONObject manifest = new JSONObject(new String(Files.readAllBytes(
                new File(bundle, "bundle.json").toPath()), StandardCharsets.UTF_8));
        JSONObject onnx = entryWith(manifest.getJSONArray("artifacts"), "format", "onnx");
        return entryWith(onnx.getJSONArray("parity"), "against", "quantized graph")
                .getJSONObject("thresholds").getDouble("sqnr_db");
    }

    private static JSONObject entryWith(JSONArray list, String key, String value) throws Exception {
        for (int i = 0; i < list.length(); i++) {
            if (list.getJSONObject(i).getString(key).equals(value)) {
                return list.getJSONObject(i);
            }
        }
        throw new AssertionError("no entry with " + key + " " + value);
    }

    /** Returns the array with its values in reverse order. */
    private static byte[] reversed(byte[] npy) {
        byte[] result = npy.clone();
        int first = 128; // NumPy's header
        for (int i = first; i < npy.length; i += 4) {
            System.arraycopy(npy, i, result, npy.length - 4 - (i - first), 4);
        }
        return result;
    }

    private static void updateHash(File bundle, String file) throws Exception {
        File manifest = new File(bundle, "bundle.json");
        JSONObject json = new JSONObject(
                new String(Files.readAllBytes(manifest.toPath()), StandardCharsets.UTF_8));
        byte[] data = Files.readAllBytes(new File(bundle, file).toPath());
        json.getJSONObject("files").getJSONObject(file)
                .put("sha256", Digest.sha256(data));
        Files.write(manifest.toPath(), json.toString().getBytes(StandardCharsets.UTF_8));
    }

    @Test
    public void aMissingNativeLibraryIsReportedAndOthersWork() throws Exception {
        DemoActivity activity = start(null);
        RadioGroup formats = activity.findViewById(R.id.formats);
        assertEquals(activity.session().artifacts.size(), formats.getChildCount());
        assertEquals("lite-int8", formats.getChildAt(1).getTag());
        Fingers.tap(formats.getChildAt(1)); // the native library is for phones only
        settled();
        assertTrue(text(activity, R.id.problem).contains("lite runtime cannot load"));
        Fingers.tap(formats.getChildAt(0));
        settled();
        assertFalse(shown(activity, R.id.problem));
        assertAnswersAsTheWorkstation(activity);
    }
}
