package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import android.graphics.Bitmap;
import android.text.Layout;
import android.util.TypedValue;
import android.view.View;
import android.widget.ScrollView;
import android.widget.TextView;
import java.util.Arrays;
import java.util.List;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.mobilekit.Samples;
import org.robolectric.ParameterizedRobolectricTestRunner;
import org.robolectric.ParameterizedRobolectricTestRunner.Parameter;
import org.robolectric.ParameterizedRobolectricTestRunner.Parameters;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** Takes screenshots of the demo in each configuration and checks the layout. */
@RunWith(ParameterizedRobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class ScreenshotTest {
    /** As long as kit's default names; a second bundle makes the bundle list visible. */
    private static final String LONG_NAME = "mobilenet_v2-160-int8-per-channel-percentile";

    @Parameter(0)
    public String name;

    @Parameter(1)
    public String qualifiers;

    @Parameter(2)
    public float fontScale;

    @Parameters(name = "{0}")
    public static List<Object[]> looks() {
        return Arrays.asList(
                new Object[] {"light", "w411dp-h891dp-notnight-420dpi", 1f},
                new Object[] {"dark", "w411dp-h891dp-night-420dpi", 1f},
                new Object[] {"light-whole", "w411dp-h1440dp-notnight-420dpi", 1f},
                new Object[] {"dark-whole", "w411dp-h1440dp-night-420dpi", 1f},
                new Object[] {"large-font", "w411dp-h1900dp-notnight-420dpi", 2f},
                new Object[] {"small", "w320dp-h1400dp-notnight-xhdpi", 1f},
                new Object[] {"landscape", "w891dp-h411dp-land-notnight-420dpi", 1f},
                new Object[] {"landscape-dark", "w891dp-h411dp-land-night-420dpi", 1f},
                new Object[] {"split", "w411dp-h400dp-notnight-420dpi", 1.3f},
                new Object[] {"tablet", "w800dp-h1280dp-notnight-xhdpi", 1f},
                new Object[] {"right-to-left", "ar-ldrtl-w411dp-h1440dp-notnight-420dpi", 1f});
    }

    @Before
    public void look() {
        Samples.folder();
        RuntimeEnvironment.setQualifiers(qualifiers);
        RuntimeEnvironment.setFontScale(fontScale);
    }

    @Test
    public void photograph() throws Exception {
        Screens.installCamera(RuntimeEnvironment.getApplication());
        if (!name.startsWith("light") && !name.startsWith("dark")) { // the screenshots for the docs
            Samples.push(RuntimeEnvironment.getApplication().getFilesDir(), LONG_NAME);
        }
        try (ActivityController<DemoActivity> controller =
                Robolectric.buildActivity(DemoActivity.class).setup()) {
            DemoActivity activity = controller.get();
            Screens.settle(activity.session());
            Fingers.tap(activity, R.id.again);
            Fingers.tap(activity, R.id.again);
            Fingers.tap(activity, R.id.check);
            Screens.settle(activity.session());
            ScrollView scroll = activity.findViewById(R.id.scroll);
            scroll.scrollTo(0, 0);
            Bitmap picture = Screens.photograph(activity, name);
            int ground = activity.getColor(R.color.ground);
            assertEquals("the background is the theme's", ground,
                    picture.getPixel(picture.getWidth() / 2, 2));
            checkBars(activity);
            checkTouchTargets(scroll);
            checkLabels(activity);
        }
    }

    /** Checks that the bars have dark buttons on light backgrounds, and vice versa. */
    private static void checkBars(DemoActivity activity) {
        boolean light = activity.getResources().getBoolean(R.bool.light_bars);
        for (int attribute : new int[] {
            android.R.attr.windowLightStatusBar, android.R.attr.windowLightNavigationBar}) {
            TypedValue value = new TypedValue();
            boolean resolved = activity.getTheme().resolveAttribute(attribute, value, true);
            assertEquals(light, resolved && value.data != 0);
        }
    }

    /** Checks that no button label breaks within a word. */
    private static void checkLabels(DemoActivity activity) {
        for (int id : new int[] {R.id.choose, R.id.camera, R.id.again, R.id.check}) {
            TextView button = activity.findViewById(id);
            Layout lines = button.getLayout();
            for (int i = 1; i < lines.getLineCount(); i++) {
                char before = button.getText().charAt(lines.getLineStart(i) - 1);
                assertTrue(button.getText() + " is broken", Character.isWhitespace(before));
            }
        }
    }

    /** Checks that touch targets have the minimum height of 48 dp. */
    private static void checkTouchTargets(ScrollView scroll) {
        float density = scroll.getResources().getDisplayMetrics().density;
        for (View view : scroll.getTouchables()) {
            if (view != scroll && view.isClickable()) {
                assertTrue(view + " is " + view.getHeight() / density + " dp high",
                        view.getHeight() >= 48 * density - 1);
            }
        }
    }
}
