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
 * Touches and presses what is on the screen as a person does: with events that go into the window's
 * own queue, where Android turns them into clicks, focus and the end of touch mode. {@code
 * View.performClick} would click even what no finger can.
 */
final class Fingers {
    private static final Duration LONG_ENOUGH = Duration.ofMillis(150); // to be taken for a tap
    private static final int MOST_STOPS = 100;

    private Fingers() {}

    static void tap(Activity activity, int id) {
        tap(activity.findViewById(id));
    }

    /** Scrolls to a view, and touches its middle. */
    static void tap(View view) {
        Rect seen = reveal(view);
        long now = SystemClock.uptimeMillis();
        touch(view, now, MotionEvent.ACTION_DOWN, seen);
        touch(view, now, MotionEvent.ACTION_UP, seen);
    }

    /** Touches an entry of the list that a spinner has opened. */
    static void tapInList(int position) {
        ListPopupWindow list = ShadowListPopupWindow.getLatestListPopupWindow();
        assertTrue("no list is open", list != null && list.isShowing());
        tap(list.getListView().getChildAt(position));
    }

    private static void touch(View view, long began, int action, Rect at) {
        MotionEvent event = MotionEvent.obtain(began, SystemClock.uptimeMillis(), action,
                at.exactCenterX(), at.exactCenterY(), 0);
        event.setSource(InputDevice.SOURCE_TOUCHSCREEN);
        send(view, event);
    }

    /** Scrolls to a view; returns where it is seen, in pixels of its window. */
    static Rect reveal(View view) {
        view.requestRectangleOnScreen(new Rect(0, 0, view.getWidth(), view.getHeight()), true);
        Shadows.shadowOf(Looper.getMainLooper()).idle();
        Rect seen = new Rect();
        assertTrue(view + " is not seen", view.getGlobalVisibleRect(seen));
        return seen;
    }

    /** Moves the focus to a view by the tabulator key, and presses another key. */
    static void press(View view, int key) {
        focus(view);
        type(view, key);
    }

    /** Moves the focus to a view by the tabulator key. */
    static void focus(View view) {
        for (int i = 0; i < MOST_STOPS && !view.isFocused(); i++) {
            type(view, KeyEvent.KEYCODE_TAB);
        }
        assertTrue("no way by keys to " + view, view.isFocused());
    }

    /** The views that the tabulator key comes by, until it is back at the first one. */
    static List<View> tabStops(Activity activity) {
        View window = activity.getWindow().getDecorView();
        List<View> stops = new ArrayList<>();
        for (int i = 0; i < MOST_STOPS; i++) {
            type(window, KeyEvent.KEYCODE_TAB);
            View at = window.findFocus();
            if (at == null || stops.contains(at)) {
                break;
            }
            stops.add(at);
        }
        return stops;
    }

    /** Presses a key, whatever has the focus in a view's window. */
    static void type(View view, int key) {
        for (int action : new int[] {KeyEvent.ACTION_DOWN, KeyEvent.ACTION_UP}) {
            long now = SystemClock.uptimeMillis();
            send(view, new KeyEvent(now, now, action, key, 0, 0, 0, 0, 0,
                    InputDevice.SOURCE_KEYBOARD));
        }
    }

    private static void send(View view, InputEvent event) {
        view.getViewRootImpl().dispatchInputEvent(event);
        Shadows.shadowOf(Looper.getMainLooper()).idleFor(LONG_ENOUGH);
    }
}
