package org.mobilekit;

import java.util.regex.Pattern;

/** Constants that the app and kit share; a test compares them with `contract.json`. */
public final class Contract {
    public static final int VERSION = 3;
    public static final int PROTOCOL = 4;
    public static final int RESULT_SCHEMA = 1;
    public static final int BUNDLE_SCHEMA = 7;

    public static final String BENCH_ACTION = "org.mobilekit.action.BENCH";
    public static final String BENCH_PERMISSION = "android.permission.DUMP";
    public static final String LOG_TAG = "KitBench";

    public static final String ASSET_BUNDLES = "bundles";
    public static final String ASSET_PICTURE = "picture.jpg";
    public static final String ASSET_CREDIT = "picture.txt";
    public static final String ASSET_RUNTIMES = "runtimes.json";

    public static final String FILES_BUNDLES = "bundles";
    public static final String FILES_RESULTS = "bench";
    public static final String RESULT_SUFFIX = ".json";
    public static final String ANSWER_SUFFIX = ".bin";
    public static final String NAMELESS = "invalid";

    /** Valid names for parts of a path: no separator, no leading dot. */
    public static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,95}");

    private Contract() {}
}
