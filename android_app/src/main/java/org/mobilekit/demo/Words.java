package org.mobilekit.demo;

import android.content.Context;
import java.text.NumberFormat;
import java.util.Locale;
import org.mobilekit.Golden;
import org.mobilekit.KitException;

/** Formats numbers and names in the language of the device. */
final class Words {
    private final Context context;
    private final Locale locale;
    private final NumberFormat percent;
    private final NumberFormat number;

    Words(Context context) {
        this.context = context;
        locale = context.getResources().getConfiguration().getLocales().get(0);
        percent = NumberFormat.getPercentInstance(locale);
        number = NumberFormat.getNumberInstance(locale);
        percent.setMaximumFractionDigits(1);
        percent.setMinimumFractionDigits(1);
        number.setGroupingUsed(false);
    }

    String percent(double probability) {
        return percent.format(probability);
    }

    String whole(int value) {
        number.setMaximumFractionDigits(0);
        return number.format(value);
    }

    /** Returns the display name of a quantization. */
    String precision(String quantize) {
        switch (quantize) {
            case "none":
                return context.getString(R.string.precision_float);
            case "static":
                return context.getString(R.string.precision_static);
            case "dynamic":
                return context.getString(R.string.precision_dynamic);
            case "qat":
                return context.getString(R.string.precision_qat);
            default:
                return quantize; // of a newer version of kit
        }
    }

    String milliseconds(long ns) {
        return context.getString(R.string.milliseconds, short3(ns / 1e6));
    }

    /** Formats a number with three significant digits: 1.23, 12.3, 123. */
    String short3(double value) {
        int digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
        number.setMaximumFractionDigits(digits);
        number.setMinimumFractionDigits(digits);
        return number.format(value);
    }

    /** Returns the runtime of an artifact, with the precision if the format has several files. */
    String artifact(DemoSession session, String artifact) {
        try {
            String format = session.bundle.format(artifact);
            int count = 0;
            for (String other : session.artifacts) {
                count += session.bundle.format(other).equals(format) ? 1 : 0;
            }
            String runtime = runtime(format);
            return count == 1 ? runtime : context.getString(R.string.runtime_precision, runtime,
                    session.bundle.precision(artifact));
        } catch (KitException e) {
            return artifact;
        }
    }

    private String runtime(String format) {
        switch (format) {
            case "onnx":
                return context.getString(R.string.format_onnx);
            case "lite":
                return context.getString(R.string.format_lite);
            case "executorch":
                return context.getString(R.string.format_executorch);
            default:
                return format;
        }
    }

    /** Describes the numbers of a check and the limit. */
    String numbers(Golden.Report report) {
        String agreement =
                context.getString(R.string.agreement, report.agreeing, report.images);
        String difference = report.maxAbs == 0 ? context.getString(R.string.equal)
                : context.getString(R.string.difference,
                        String.format(locale, "%.3g", report.maxAbs), short3(report.sqnrDb));
        String limit = report.floor == null ? context.getString(R.string.limit_equal)
                : context.getString(R.string.limit, short3(report.floor));
        return agreement + " " + difference + (report.maxAbs == 0 ? "" : " " + limit);
    }
}
