package org.mobilekit;

/** An error whose message is a sentence that can be shown to users. */
public final class KitException extends Exception {
    private static final long serialVersionUID = 1L;

    public KitException(String message) {
        super(message);
    }

    public KitException(String message, Throwable cause) {
        super(message, cause);
    }
}
