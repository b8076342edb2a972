package org.mobilekit;

/** What went wrong, in a sentence that can be shown to a person. */
public final class KitException extends Exception {
    private static final long serialVersionUID = 1L;

    public KitException(String message) {
        super(message);
    }

    public KitException(String message, Throwable cause) {
        super(message, cause);
    }
}
