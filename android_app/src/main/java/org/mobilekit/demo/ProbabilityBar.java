package org.mobilekit.demo;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.util.AttributeSet;
import android.view.View;

/** A bar for a probability of 0..1, drawn in reading direction. */
public final class ProbabilityBar extends View {
    private final Paint paint = new Paint(Paint.ANTI_ALIAS_FLAG);
    private double probability;
    private boolean best;

    public ProbabilityBar(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    /** Sets the probability; the bar of the best answer has the full color. */
    void show(double probability, boolean best) {
        this.probability = probability;
        this.best = best;
        invalidate();
    }

    @Override
    protected void onDraw(Canvas canvas) {
        paint.setColor(getContext().getColor(R.color.ground));
        drawBar(canvas, getWidth());
        paint.setColor(getContext().getColor(R.color.accent));
        paint.setAlpha(best ? 255 : 170);
        // Never shorter than a dot.
        drawBar(canvas, Math.max((float) probability * getWidth(), getHeight()));
    }

    private void drawBar(Canvas canvas, float length) {
        boolean fromRight = getLayoutDirection() == LAYOUT_DIRECTION_RTL;
        float left = fromRight ? getWidth() - length : 0;
        float radius = getHeight() / 2f;
        canvas.drawRoundRect(left, 0, left + length, getHeight(), radius, radius, paint);
    }
}
