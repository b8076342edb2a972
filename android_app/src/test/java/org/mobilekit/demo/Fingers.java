package org.mobilekit.demo;

import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.graphics.Rect;
import android.os.Looper;
import android.os.SystemClock;
import android.view.InputDevice;
import android.view.InputEvent;
import android.view.KeyEvent;
import android.view.MotionEvent;
import android.view.View;
import android.widget.ListPopupWindow;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.robolectric.Shadows;
import org.robolectric.shadows.ShadowListPopupWindow;

/**
 * Simulates touches and keys with events in the window's input queue, which Android turns into
 * clicks, focus changes and the end of touch mode. {@code View.performClick} would also click views
 * that users cannot reach.
 */
final class Fingers {
    private static final Duration TAP_TIMEOUT = Duration.ofMillis(150); // longer than a tap
    private static final int MAX_STOPS = 100;

    private Fingers() {}

    static void tap(Activity activity, int id) {
        tap(activity.findViewById(id));
    }

    /** Scrolls to a view and taps its centre. */
    static void tap(View view) {
        Rect area = reveal(view);
        long now = SystemClock.uptimeMillis();
        touch(view, now, MotionEvent.ACTION_DOWN, area);
        touch(view, now, MotionEvent.ACTION_UP, area);
    }

    /** Taps an entry in the open list of a spinner. */
    static void tapInList(int position) {
        ListPopupWindow list = ShadowListPopupWindow.getLatestListPopupWindow();
        assertTrue("no list is open", list != null && list.isShowing());
        tap(list.getListView().getChildAt(position));
    }

    private static void touch(View view, long downTime, int action, Rect at) {
        MotionEvent event = MotionEvent.obtain(downTime, SystemClock.uptimeMillis(), action,
                at.exactCenterX(), at.exactCenterY(), 0);
        event.setSource(InputDevice.SOURCE_TOUCHSCREEN);
        send(view, event);
    }

    /** Scrolls to a view and returns its visible area in the window. */
    static Rect reveal(View view) {
        view.requestRectangleOnScreen(new Rect(0, 0, view.getWidth(), view.getHeight()), true);
        Shadows.shadowOf(Looper.getMainLooper()).idle();
        Rect area = new Rect();
        assertTrue(view + " is not visible", view.getGlobalVisibleRect(area));
        return area;
    }

    /** Moves the focus to a view with the tab key and presses another key. */
    static void press(View view, int key) {
        focus(view);
        type(view, key);
    }

    /** Moves the focus to a view with the tab key. */
    static void focus(View view) {
        for (int i = 0; i < MAX_STOPS && !view.isFocused(); i++) {
            type(view, KeyEvent.KEYCODE_TAB);
        }
        assertTrue("not reachable by keyboard: " + view, view.isFocused());
    }

    /** Returns the views that the tab key reaches, in order. */
    static List<View> tabStops(Activity activity) {
        View window = activity.getWindow().getDecorView();
        List<View> stops = new ArrayList<>();
        for (int i = 0; i < MAX_STOPS; i++) {
            type(window, KeyEvent.KEYCODE_TAB);
            View at = window.findFocus();
            if (at == null || stops.contains(at)) {
                break;
            }
            stops.add(at);
        }
        return stops;
    }

    /** Presses a key in a view's window, whichever view has the focus. */
    static void type(View view, int key) {
        for (int action : new int[] {KeyEvent.ACTION_DOWN, KeyEvent.ACTION_UP}) {
            long now = SystemClock.uptimeMillis();
            send(view, new KeyEvent(now, now, action, key, 0, 0, 0, 0, 0,
                    InputDevice.SOURCE_KEYBOARD));
        }
    }

    private static void send(View view, InputEvent event) {
        view.getViewRootImpl().dispatchInputEvent(event);
        Shadows.shadowOf(Looper.getMainLooper()).idleFor(TAP_TIMEOUT);
    }
}
