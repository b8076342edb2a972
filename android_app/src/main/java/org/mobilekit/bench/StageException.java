package org.mobilekit.bench;

import org.mobilekit.KitException;

/** A failed stage of the runner protocol: usage, load, input, run or output. */
final class StageException extends Exception {
    private static final long serialVersionUID = 1L;

    final String stage;

    StageException(String stage, String message) {
        super(message);
        this.stage = stage;
    }

    StageException(String stage, Throwable cause) {
        super(describe(cause), cause);
        this.stage = stage;
    }

    private static String describe(Throwable cause) {
        String message = cause.getMessage();
        return cause instanceof KitException
                ? message : cause.getClass().getSimpleName() + ": " + message;
    }
}
