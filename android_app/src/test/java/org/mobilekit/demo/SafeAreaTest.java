package org.mobilekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.graphics.Insets;
import android.graphics.Rect;
import android.os.Build;
import android.os.Looper;
import android.view.KeyEvent;
import android.view.View;
import android.view.WindowInsets;
import android.widget.Button;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.ParameterizedRobolectricTestRunner;
import org.robolectric.ParameterizedRobolectricTestRunner.Parameter;
import org.robolectric.ParameterizedRobolectricTestRunner.Parameters;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** What a target of 36 enforces: drawn behind the bars from Android 15 on, and nothing is hidden. */
@RunWith(ParameterizedRobolectricTestRunner.class)
@Config(sdk = {34, 35})
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class SafeAreaTest extends DemoTest {
    private static final int STATUS = 63;
    private static final int NAVIGATION = 126;
    private static final int CUTOUT = 80;

    @Parameter(0)
    public String qualifiers;

    @Parameters(name = "{0}")
    public static List<Object[]> layouts() {
        return Arrays.asList(
                new Object[] {"w411dp-h891dp-420dpi"},
                new Object[] {"w891dp-h411dp-land-420dpi"});
    }

    @Test
    public void nothingIsHiddenByBarsAndCutout() throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        Screens.installCamera(RuntimeEnvironment.getApplication());
        DemoActivity activity = start(null);
        View window = activity.getWindow().getDecorView();
        cover(window);
        Rect safe = new Rect(behindBars() ? CUTOUT : 0, STATUS, window.getWidth(), window.getHeight() - NAVIGATION);
        Rect title = Fingers.reveal(activity.findViewById(R.id.about));
        assertTrue(title + " in " + safe, safe.contains(title));
        for (int id : new int[] {R.id.choose, R.id.camera, R.id.again, R.id.formats, R.id.more,
            R.id.check}) {
            View view = activity.findViewById(id);
            Rect seen = Fingers.reveal(view);
            assertTrue(view + " at " + seen + " in " + safe, safe.contains(seen));
            assertEquals(view + " is cut off", view.getHeight(), seen.height());
        }
        Screens.photograph(activity, "bars-" + (window.getWidth() < window.getHeight()
                ? "portrait" : "landscape") + "-" + Build.VERSION.SDK_INT);
    }

    @Test
    public void android15DrawsItBehindTheBars() throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        DemoActivity activity = start(null);
        View window = activity.getWindow().getDecorView();
        cover(window);
        View screen = activity.findViewById(R.id.screen);
        assertEquals(behindBars() ? window.getHeight() : window.getHeight() - STATUS - NAVIGATION,
                screen.getHeight());
    }

    /** Whether Android draws an app behind its bars; before, it also keeps it off the cutout. */
    private static boolean behindBars() {
        return Build.VERSION.SDK_INT >= 35;
    }

    /** Lets the system say that it covers the upper, lower and left edge. */
    private static void cover(View window) {
        window.dispatchApplyWindowInsets(new WindowInsets.Builder()
                .setInsets(WindowInsets.Type.statusBars(), Insets.of(0, STATUS, 0, 0))
                .setInsets(WindowInsets.Type.navigationBars(), Insets.of(0, 0, 0, NAVIGATION))
                .setInsets(WindowInsets.Type.displayCutout(), Insets.of(CUTOUT, 0, 0, 0))
                .build());
        Shadows.shadowOf(Looper.getMainLooper()).idle();
    }

    /** A target of 36 gets no {@code onBackPressed}; so nothing may wait for it. */
    @Test
    public void backEndsTheScreen() throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        DemoActivity activity = start(null);
        assertEquals(Activity.class,
                DemoActivity.class.getMethod("onBackPressed").getDeclaringClass());
        Fingers.type(activity.getWindow().getDecorView(), KeyEvent.KEYCODE_BACK);
        assertTrue(activity.isFinishing());
    }
}
