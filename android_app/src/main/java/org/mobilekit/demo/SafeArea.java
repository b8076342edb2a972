package org.mobilekit.demo;

import android.graphics.Rect;
import android.os.Build;
import android.view.View;
import android.view.WindowInsets;
import org.mobilekit.NewerApi;

/**
 * Keeps what is on the screen clear of the system's bars and of the camera's cutout.
 *
 * <p>Android 15 and later draw an app behind them. Before, the window keeps clear by itself, and
 * says here that there is nothing to do.
 */
final class SafeArea {
    private SafeArea() {}

    /** Adds what the system covers to the padding of a view that fills the window. */
    static void pad(View view) {
        Rect own = new Rect(view.getPaddingLeft(), view.getPaddingTop(), view.getPaddingRight(),
                view.getPaddingBottom());
        view.setOnApplyWindowInsetsListener((same, insets) -> {
            Rect covered = Build.VERSION.SDK_INT >= Build.VERSION_CODES.R
                    ? covered(insets) : coveredBefore11(insets);
            view.setPadding(own.left + covered.left, own.top + covered.top,
                    own.right + covered.right, own.bottom + covered.bottom);
            return insets;
        });
    }

    @NewerApi(30)
    private static Rect covered(WindowInsets insets) {
        android.graphics.Insets sides = insets.getInsets(
                WindowInsets.Type.systemBars() | WindowInsets.Type.displayCutout());
        return new Rect(sides.left, sides.top, sides.right, sides.bottom);
    }

    @SuppressWarnings("deprecation") // there is nothing else before Android 11
    private static Rect coveredBefore11(WindowInsets insets) {
        return new Rect(insets.getSystemWindowInsetLeft(), insets.getSystemWindowInsetTop(),
                insets.getSystemWindowInsetRight(), insets.getSystemWindowInsetBottom());
    }
}
