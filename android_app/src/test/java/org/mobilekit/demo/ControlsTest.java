package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;

import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Color;
import android.provider.MediaStore;
import android.view.KeyEvent;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.RadioButton;
import android.widget.RadioGroup;
import android.widget.Spinner;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.mobilekit.Samples;
import org.robolectric.ParameterizedRobolectricTestRunner;
import org.robolectric.ParameterizedRobolectricTestRunner.Parameter;
import org.robolectric.ParameterizedRobolectricTestRunner.Parameters;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** Operates each control of each layout by touch and by keyboard. */
@RunWith(ParameterizedRobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class ControlsTest extends DemoTest {
    private static final int[] ENTERS = {KeyEvent.KEYCODE_DPAD_CENTER, KeyEvent.KEYCODE_ENTER};

    @Parameter(0)
    public String qualifiers;

    @Parameters(name = "{0}")
    public static List<Object[]> layouts() {
        return Arrays.asList(
                new Object[] {"w411dp-h891dp-420dpi"},
                new Object[] {"w891dp-h411dp-land-420dpi"},
                new Object[] {"ar-ldrtl-w320dp-h640dp-xhdpi"});
    }

    /** A user action on a view. */
    private interface Action {
        void on(View view) throws Exception;
    }

    private DemoActivity activity;

    @Before
    public void open() throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        Screens.installCamera(RuntimeEnvironment.getApplication());
        Samples.push(context.getFilesDir(), "second");
        activity = start(null);
    }

    @Test
    public void allControlsWorkByTouch() throws Exception {
        operateAll(Fingers::tap);
    }

    @Test
    public void allControlsWorkByKeyboard() throws Exception {
        for (int key : ENTERS) {
            operateAll(view -> Fingers.press(view, key));
        }
    }

    private void operateAll(Action action) throws Exception {
        List<Integer> operated = new ArrayList<>();
        for (View control : controls(activity.getWindow().getDecorView())) {
            if (control instanceof RadioButton) {
                operated.add(R.id.formats);
            } else {
                operated.add(control.getId());
            }
        }
        List<Integer> expected = new ArrayList<>(
                Arrays.asList(R.id.choose, R.id.camera, R.id.again, R.id.bundles));
        expected.addAll(Collections.nCopies(activity.session().artifacts.size(), R.id.formats));
        expected.addAll(Arrays.asList(R.id.fewer, R.id.more, R.id.check));
        assertEquals("controls that this test does not cover", expected, operated);
        pictures(action);
        inferences(action);
        runtimes(action);
        threads(action);
        bundles(action);
    }

    private void pictures(Action action) throws Exception {
        action.on(activity.findViewById(R.id.choose));
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, startedAction());
        action.on(activity.findViewById(R.id.camera));
        assertEquals(MediaStore.ACTION_IMAGE_CAPTURE, startedAction());
    }

    private String startedAction() {
        Intent intent = Shadows.shadowOf(activity).getNextStartedActivity();
        assertNotNull("nothing was started", intent);
        return intent.getAction();
    }

    private void inferences(Action action) throws Exception {
        int before = activity.session().times.size();
        action.on(activity.findViewById(R.id.again));
        settled();
        assertEquals(before + 1, activity.session().times.size());
        action.on(activity.findViewById(R.id.check));
        settled();
        assertNotNull(activity.session().report);
    }

    private void runtimes(Action action) throws Exception {
        for (String artifact : new String[] {"lite-int8", "onnx-int8"}) {
            action.on(segment(artifact));
            settled();
            assertEquals(artifact, activity.session().choice.artifact);
            assertTrue(((RadioButton) segment(artifact)).isChecked());
        }
    }

    private View segment(String artifact) {
        return ((RadioGroup) activity.findViewById(R.id.formats)).findViewWithTag(artifact);
    }

    private void threads(Action action) throws Exception {
        action.on(activity.findViewById(R.id.more));
        settled();
        assertEquals(2, activity.session().choice.threads);
        action.on(activity.findViewById(R.id.fewer));
        settled();
        assertEquals(1, activity.session().choice.threads);
    }

    private void bundles(Action action) throws Exception {
        String before = activity.session().choice.bundle;
        action.on(activity.findViewById(R.id.bundles));
        int other = 1 - activity.session().bundles.indexOf(before);
        Fingers.tapInList(other);
        settled();
        settled();
        assertEquals(activity.session().bundles.get(other), activity.session().choice.bundle);
    }

    @Test
    public void tabReachesAllControls() {
        List<View> stops = Fingers.tabStops(activity);
        for (View control : controls(activity.getWindow().getDecorView())) {
            if (control.isEnabled()) {
                assertTrue("not reachable by keyboard: " + control, stops.contains(control));
            }
        }
    }

    @Test
    public void theFocusedControlIsVisible() throws Exception {
        for (View control : controls(activity.getWindow().getDecorView())) {
            if (control.isEnabled()) {
                Fingers.focus(control);
                android.graphics.Rect at = Fingers.reveal(control);
                Bitmap picture = Screens.pixels(activity);
                int edge = picture.getPixel(at.centerX(), at.top + 1);
                assertEquals("the edge of " + control, activity.getColor(R.color.ink), edge);
            }
        }
    }

    /** Returns the visible controls in a view, from top to bottom. */
    private static List<View> controls(View view) {
        List<View> visible = new ArrayList<>();
        if (view.getVisibility() != View.VISIBLE) {
            return visible;
        }
        if (view instanceof Button || view instanceof Spinner) {
            visible.add(view);
        } else if (view instanceof ViewGroup) {
            ViewGroup group = (ViewGroup) view;
            for (int i = 0; i < group.getChildCount(); i++) {
                visible.addAll(controls(group.getChildAt(i)));
            }
        }
        return visible;
    }
}
