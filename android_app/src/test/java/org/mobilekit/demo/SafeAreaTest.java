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

/** Target SDK 36 draws edge to edge from Android 15 on; the bars must not hide any control. */
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
    public void barsAndCutoutHideNoControl() throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        Screens.installCamera(RuntimeEnvironment.getApplication());
        DemoActivity activity = start(null);
        View window = activity.getWindow().getDecorView();
        dispatchInsets(window);
        Rect safe = new Rect(behindBars() ? CUTOUT : 0, STATUS, window.getWidth(),
                window.getHeight() - NAVIGATION);
        Rect title = Fingers.reveal(activity.findViewById(R.id.about));
        assertTrue(title + " in " + safe, safe.contains(title));
        for (int id : new int[] {R.id.choose, R.id.camera, R.id.again, R.id.formats, R.id.more,
            R.id.check}) {
            View view = activity.findViewById(id);
            Rect area = Fingers.reveal(view);
            assertTrue(view + " at " + area + " in " + safe, safe.contains(area));
            assertEquals(view + " is cut off", view.getHeight(), area.height());
        }
        Screens.photograph(activity, "bars-" + (window.getWidth() < window.getHeight()
                ? "portrait" : "landscape") + "-" + Build.VERSION.SDK_INT);
    }

    @Test
    public void android15DrawsBehindTheBars() throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        DemoActivity activity = start(null);
        View window = activity.getWindow().getDecorView();
        dispatchInsets(window);
        View screen = activity.findViewById(R.id.screen);
        assertEquals(behindBars() ? window.getHeight() : window.getHeight() - STATUS - NAVIGATION,
                screen.getHeight());
    }

    /** Whether Android draws apps behind its bars; older versions also avoid the cutout. */
    private static boolean behindBars() {
        return Build.VERSION.SDK_INT >= 35;
    }

    /** Dispatches insets for the upper, lower and left edge. */
    private static void dispatchInsets(View window) {
        window.dispatchApplyWindowInsets(new WindowInsets.Builder()
                .setInsets(WindowInsets.Type.statusBars(), Insets.of(0, STATUS, 0, 0))
                .setInsets(WindowInsets.Type.navigationBars(), Insets.of(0, 0, 0, NAVIGATION))
                .setInsets(WindowInsets.Type.displayCutout(), Insets.of(CUTOUT, 0, 0, 0))
                .build());
        Shadows.shadowOf(Looper.getMainLooper()).idle();
    }

    /** Target SDK 36 never calls {@code onBackPressed}, so no class may override it. */
    @Test
    public void backFinishesTheActivity() throws Exception {
        RuntimeEnvironment.setQualifiers(qualifiers);
        DemoActivity activity = start(null);
        assertEquals(Activity.class,
                DemoActivity.class.getMethod("onBackPressed").getDeclaringClass());
        Fingers.type(activity.getWindow().getDecorView(), KeyEvent.KEYCODE_BACK);
        assertTrue(activity.isFinishing());
    }
}
