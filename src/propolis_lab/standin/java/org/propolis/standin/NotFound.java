package org.propolis.standin;

/** There is no such thing: HTTP 404. */
final class NotFound extends RuntimeException {
    private static final long serialVersionUID = 1;

    NotFound(String what) {
        super("not found: " + what);
    }
}
