package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotSame;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;

import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.drawable.AdaptiveIconDrawable;
import android.graphics.drawable.Drawable;
import android.os.Bundle;
import android.view.ViewGroup;
import android.widget.RadioButton;
import android.widget.RadioGroup;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.mobilekit.Samples;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** Tests answers, times, choices, rotation and process death. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-420dpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class DemoActivityTest extends DemoTest {
    @Test
    public void opensWithFiveAnswers() throws Exception {
        DemoActivity activity = start(null);
        assertFalse(text(activity, R.id.problem), shown(activity, R.id.problem));
        assertAnswersAsTheWorkstation(activity);
        assertEquals(5, ((ViewGroup) activity.findViewById(R.id.answers)).getChildCount());
        int height = activity.session().bundle.preprocess().height();
        int width = activity.session().bundle.preprocess().width();
        assertEquals("mobilenet_v2 · " + height + " × " + width + " · int8",
                text(activity, R.id.about));
        assertTrue(text(activity, R.id.this_call).endsWith(" ms"));
        assertEquals("median of 1 call", text(activity, R.id.median_of));
        String described = answer(activity, 0).getContentDescription().toString();
        assertTrue(described, described.matches(Pattern.quote(label(activity, 0)) + ", [0-9.]+%"));
    }

    @Test
    public void theCheckPassesWithTheGoldenOutputs() throws Exception {
        DemoActivity activity = start(null);
        Fingers.tap(activity, R.id.check);
        settled();
        assertEquals("Matches the workstation", text(activity, R.id.verdict_word));
        String numbers = text(activity, R.id.verdict_numbers);
        int images = activity.session().report.images;
        // With random weights, rounding decides which answer is the first.
        assertTrue(numbers, numbers.matches("\\d+ of " + images + " pictures .*"));
    }

    @Test
    public void runAgainExtendsTheMedian() throws Exception {
        DemoActivity activity = start(null);
        Fingers.tap(activity, R.id.again);
        Fingers.tap(activity, R.id.again);
        settled();
        assertEquals("median of 3 calls", text(activity, R.id.median_of));
    }

    @Test
    public void changingThreadsResetsTheMedian() throws Exception {
        DemoActivity activity = start(null);
        assertFalse(activity.findViewById(R.id.fewer).isEnabled());
        Fingers.tap(activity, R.id.more);
        settled();
        assertEquals("2", text(activity, R.id.threads));
        assertEquals("median of 1 call", text(activity, R.id.median_of));
    }

    @Test
    public void timesOfThePreviousModelAreDropped() throws Exception {
        DemoActivity activity = start(null);
        Fingers.tap(activity, R.id.again);
        Fingers.tap(activity, R.id.check);
        Fingers.tap(activity, R.id.more); // while both are pending
        settled();
        assertEquals("median of 1 call", text(activity, R.id.median_of));
        assertFalse(shown(activity, R.id.verdict));
    }

    @Test
    public void rotationKeepsTheModelAndTheAnswers() throws Exception {
        DemoActivity before = start(null);
        Fingers.tap(before, R.id.again);
        Fingers.tap(before, R.id.check);
        settled();
        DemoSession session = before.session();
        RuntimeEnvironment.setQualifiers("+land");
        controller.configurationChange();
        DemoActivity after = settled();
        assertNotSame(before, after);
        assertSame(session, after.session());
        assertEquals("median of 2 calls", text(after, R.id.median_of));
        assertAnswersAsTheWorkstation(after);
        assertTrue(shown(after, R.id.verdict));
    }

    @Test
    public void workThatEndsDuringRotationIsShown() throws Exception {
        DemoActivity before = start(null);
        Fingers.tap(before, R.id.again);
        RuntimeEnvironment.setQualifiers("+land");
        controller.configurationChange();
        assertEquals("median of 2 calls", text(settled(), R.id.median_of));
    }

    @Test
    public void theChoiceSurvivesProcessDeath() throws Exception {
        Samples.push(context.getFilesDir(), "other");
        picture("content://pictures/red", Color.RED);
        DemoActivity activity = start(null);
        Fingers.tap(activity, R.id.more);
        settled();
        activity.session().choose(activity.session().choice.withBundle("sample")
                .withPicture("content://pictures/red"));
        settled();
        Bundle state = new Bundle();
        controller.saveInstanceState(state).pause().stop().destroy();
        DemoActivity again = start(state);
        assertEquals("sample", again.session().choice.bundle);
        assertEquals("onnx-int8", again.session().choice.artifact);
        assertEquals("2", text(again, R.id.threads));
        assertEquals(Color.RED, again.session().picture.getPixel(5, 5));
        assertTrue(shown(again, R.id.bundles));
    }

    @Test
    public void filesOfOneFormatShowTheirPrecision() throws Exception {
        Samples.addFloatFile(Samples.push(context.getFilesDir(), "sample"));
        DemoActivity activity = start(null);
        List<String> texts = new ArrayList<>();
        RadioGroup files = activity.findViewById(R.id.formats);
        for (int i = 0; i < files.getChildCount(); i++) {
            texts.add(((RadioButton) files.getChildAt(i)).getText().toString());
        }
        assertEquals(Arrays.asList("ONNX Runtime int8", "ONNX Runtime fp32", "PyTorch Lite"),
                texts.subList(0, 3));
    }

    @Test
    public void labelAndIconComeFromTheResources() throws Exception {
        PackageManager manager = context.getPackageManager();
        assertEquals("Mobile Kit", context.getApplicationInfo().loadLabel(manager).toString());
        Drawable icon = context.getApplicationInfo().loadIcon(manager);
        assertTrue(icon instanceof AdaptiveIconDrawable);
        Bitmap bitmap = Bitmap.createBitmap(216, 216, Bitmap.Config.ARGB_8888);
        icon.setBounds(0, 0, 216, 216);
        icon.draw(new Canvas(bitmap));
        assertEquals(context.getColor(R.color.icon_ground), bitmap.getPixel(108, 20));
        Screens.write(bitmap, "icon");
        assertEquals(36, context.getApplicationInfo().targetSdkVersion);
        Intent launch = manager.getLaunchIntentForPackage(context.getPackageName());
        assertEquals(DemoActivity.class.getName(), launch.getComponent().getClassName());
    }
}
