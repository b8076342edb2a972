package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.view.View;
import android.widget.RadioGroup;
import android.widget.Spinner;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.mobilekit.Digest;
import org.mobilekit.Samples;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** What goes wrong is said on the screen. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-420dpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class DemoFaultTest extends DemoTest {
    @Test
    public void aDamagedBundleIsRefusedInWords() throws Exception {
        File bundle = Samples.push(context.getFilesDir(), "sample"); // wins over the assets
        Samples.damage(new File(bundle, "model.onnx"));
        DemoActivity activity = start(null);
        assertTrue(shown(activity, R.id.problem));
        assertTrue(text(activity, R.id.problem).startsWith(
                "model.onnx of the bundle “sample” was altered"));
        assertFalse(shown(activity, R.id.answer_card));
        assertFalse(shown(activity, R.id.speed_card));
        Screens.photograph(activity, "problem");
    }

    @Test
    public void whoChoseADamagedBundleCanChooseAnother() throws Exception {
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
        ((Spinner) activity.findViewById(R.id.bundles)).setSelection(1);
        settled();
        settled();
        assertFalse(shown(activity, R.id.problem));
        assertTrue(shown(activity, R.id.formats));
    }

    @Test
    public void alteredGoldenAnswersDiffer() throws Exception {
        File bundle = Samples.push(context.getFilesDir(), "sample");
        byte[] lite = Files.readAllBytes(new File(bundle, "golden/lite.npy").toPath());
        Files.write(new File(bundle, "golden/onnx.npy").toPath(), reversed(lite));
        describe(bundle, "golden/onnx.npy");
        DemoActivity activity = start(null);
        activity.findViewById(R.id.check).performClick();
        settled();
        assertEquals("Differs from the workstation", text(activity, R.id.verdict_word));
        assertTrue(text(activity, R.id.verdict_numbers).contains("At least 12.0 dB"));
        View check = activity.findViewById(R.id.check_card);
        check.getParent().requestChildFocus(check, check);
        Screens.settle(activity.session());
        Screens.photograph(activity, "differs");
    }

    /** The same array with its numbers backwards. */
    private static byte[] reversed(byte[] npy) {
        byte[] turned = npy.clone();
        int first = 128; // NumPy's header
        for (int i = first; i < npy.length; i += 4) {
            System.arraycopy(npy, i, turned, npy.length - 4 - (i - first), 4);
        }
        return turned;
    }

    private static void describe(File bundle, String file) throws Exception {
        File manifest = new File(bundle, "bundle.json");
        JSONObject json = new JSONObject(
                new String(Files.readAllBytes(manifest.toPath()), StandardCharsets.UTF_8));
        byte[] data = Files.readAllBytes(new File(bundle, file).toPath());
        json.getJSONObject("files").getJSONObject(file)
                .put("sha256", Digest.sha256(data));
        Files.write(manifest.toPath(), json.toString().getBytes(StandardCharsets.UTF_8));
    }

    @Test
    public void aRuntimeWhoseLibraryIsMissingIsSaidAndTheOtherStillWorks() throws Exception {
        DemoActivity activity = start(null);
        RadioGroup formats = activity.findViewById(R.id.formats);
        assertEquals(activity.session().formats.size(), formats.getChildCount());
        assertEquals("lite", formats.getChildAt(1).getTag());
        formats.getChildAt(1).performClick(); // the phone's library is not for this processor
        settled();
        assertTrue(text(activity, R.id.problem).contains("lite runtime cannot load"));
        formats.getChildAt(0).performClick();
        settled();
        assertFalse(shown(activity, R.id.problem));
        assertEquals(expected().getString("label"), label(activity, 0));
    }
}
