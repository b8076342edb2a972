package org.mobilekit.demo;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.util.AttributeSet;
import android.view.View;

/** A share of 0..1 as a bar that begins where reading begins. */
public final class ProbabilityBar extends View {
    private final Paint paint = new Paint(Paint.ANTI_ALIAS_FLAG);
    private double share;
    private boolean best;

    public ProbabilityBar(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    /** Shows a share; the best answer's bar has the strong colour. */
    void show(double share, boolean best) {
        this.share = share;
        this.best = best;
        invalidate();
    }

    @Override
    protected void onDraw(Canvas canvas) {
        paint.setColor(getContext().getColor(R.color.ground));
        bar(canvas, getWidth());
        paint.setColor(getContext().getColor(R.color.accent));
        paint.setAlpha(best ? 255 : 170);
        bar(canvas, Math.max((float) share * getWidth(), getHeight())); // at least a dot
    }

    private void bar(Canvas canvas, float length) {
        boolean fromRight = getLayoutDirection() == LAYOUT_DIRECTION_RTL;
        float left = fromRight ? getWidth() - length : 0;
        float radius = getHeight() / 2f;
        canvas.drawRoundRect(left, 0, left + length, getHeight(), radius, radius, paint);
    }
}
