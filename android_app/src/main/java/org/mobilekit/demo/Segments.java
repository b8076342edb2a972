package org.mobilekit.demo;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;
import android.widget.LinearLayout;
import android.widget.RadioGroup;
import android.widget.TextView;

/** Choices side by side, or below each other where a word would be broken. */
public final class Segments extends RadioGroup {
    public Segments(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        int room = MeasureSpec.getSize(widthSpec) - getPaddingLeft() - getPaddingRight();
        boolean beside = true;
        for (int i = 0; i < getChildCount(); i++) {
            TextView segment = (TextView) getChildAt(i);
            float text = segment.getPaint().measureText(segment.getText().toString());
            int wide = segment.getPaddingLeft() + segment.getPaddingRight();
            beside &= text + wide <= (float) room / getChildCount();
        }
        arrange(beside);
        super.onMeasure(widthSpec, heightSpec);
    }

    private void arrange(boolean beside) {
        setOrientation(beside ? HORIZONTAL : VERTICAL);
        for (int i = 0; i < getChildCount(); i++) {
            View segment = getChildAt(i);
            LinearLayout.LayoutParams size = (LinearLayout.LayoutParams) segment.getLayoutParams();
            size.width = beside ? 0 : LinearLayout.LayoutParams.MATCH_PARENT;
            size.weight = beside ? 1 : 0;
        }
    }
}
