package org.propolis.standin.web;

/** There is no such thing: HTTP 404. */
public final class NotFound extends RuntimeException {
    private static final long serialVersionUID = 1;

    public NotFound(String what) {
        super("not found: " + what);
    }
}
