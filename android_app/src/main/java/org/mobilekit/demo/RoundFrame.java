package org.mobilekit.demo;

import android.content.Context;
import android.graphics.Outline;
import android.util.AttributeSet;
import android.view.View;
import android.view.ViewOutlineProvider;
import android.widget.FrameLayout;

/** A frame with rounded corners and a 4:3 ratio, lower than half of the screen. */
public final class RoundFrame extends FrameLayout {
    private static final int RADIUS_DP = 20;

    public RoundFrame(Context context, AttributeSet attributes) {
        super(context, attributes);
        float radius = RADIUS_DP * getResources().getDisplayMetrics().density;
        setClipToOutline(true);
        setOutlineProvider(new ViewOutlineProvider() {
            @Override
            public void getOutline(View view, Outline outline) {
                outline.setRoundRect(0, 0, view.getWidth(), view.getHeight(), radius);
            }
        });
    }

    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        int maxHeight = getResources().getDisplayMetrics().heightPixels * 48 / 100;
        int height = Math.min(MeasureSpec.getSize(widthSpec) * 3 / 4, maxHeight);
        super.onMeasure(widthSpec, MeasureSpec.makeMeasureSpec(height, MeasureSpec.EXACTLY));
    }
}
