package org.mobilekit.demo;

import android.graphics.Rect;
import android.os.Build;
import android.view.View;
import android.view.WindowInsets;
import org.mobilekit.NewerApi;

/**
 * Keeps the content clear of system bars and display cutouts.
 *
 * <p>Android 15 and later draw apps edge to edge. On older versions the window avoids these areas
 * itself, and the insets here are empty.
 */
final class SafeArea {
    private SafeArea() {}

    /** Adds the system insets to the padding of a view that fills the window. */
    static void pad(View view) {
        Rect padding = new Rect(view.getPaddingLeft(), view.getPaddingTop(), view.getPaddingRight(),
                view.getPaddingBottom());
        view.setOnApplyWindowInsetsListener((target, insets) -> {
            Rect inset = Build.VERSION.SDK_INT >= Build.VERSION_CODES.R
                    ? readInsets(insets) : readInsetsBefore11(insets);
            view.setPadding(padding.left + inset.left, padding.top + inset.top,
                    padding.right + inset.right, padding.bottom + inset.bottom);
            return insets;
        });
    }

    @NewerApi(30)
    private static Rect readInsets(WindowInsets insets) {
        android.graphics.Insets sides = insets.getInsets(
                WindowInsets.Type.systemBars() | WindowInsets.Type.displayCutout());
        return new Rect(sides.left, sides.top, sides.right, sides.bottom);
    }

    @SuppressWarnings("deprecation") // the only API before Android 11
    private static Rect readInsetsBefore11(WindowInsets insets) {
        return new Rect(insets.getSystemWindowInsetLeft(), insets.getSystemWindowInsetTop(),
                insets.getSystemWindowInsetRight(), insets.getSystemWindowInsetBottom());
    }
}
