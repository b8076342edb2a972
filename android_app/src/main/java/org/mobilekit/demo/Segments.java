package org.mobilekit.demo;

import android.content.Context;
import android.util.AttributeSet;
import android.view.View;
import android.widget.LinearLayout;
import android.widget.RadioGroup;
import android.widget.TextView;

/** Segmented buttons: horizontal, or vertical if a label would not fit on one line. */
public final class Segments extends RadioGroup {
    public Segments(Context context, AttributeSet attributes) {
        super(context, attributes);
    }

    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        int available = MeasureSpec.getSize(widthSpec) - getPaddingLeft() - getPaddingRight();
        boolean horizontal = true;
        for (int i = 0; i < getChildCount(); i++) {
            TextView segment = (TextView) getChildAt(i);
            float text = segment.getPaint().measureText(segment.getText().toString());
            int padding = segment.getPaddingLeft() + segment.getPaddingRight();
            horizontal &= text + padding <= (float) available / getChildCount();
        }
        arrange(horizontal);
        super.onMeasure(widthSpec, heightSpec);
    }

    private void arrange(boolean horizontal) {
        setOrientation(horizontal ? HORIZONTAL : VERTICAL);
        for (int i = 0; i < getChildCount(); i++) {
            View segment = getChildAt(i);
            LinearLayout.LayoutParams size = (LinearLayout.LayoutParams) segment.getLayoutParams();
            size.width = horizontal ? 0 : LinearLayout.LayoutParams.MATCH_PARENT;
            size.weight = horizontal ? 1 : 0;
        }
    }
}
