package org.propolis.standin.web;

/** A request that can't be answered: an HTTP status of the thrower's choice. */
public final class Refused extends RuntimeException {
    private static final long serialVersionUID = 1;
    private final int status;
    private final String type;

    public Refused(int status, String type, String message) {
        super(message);
        this.status = status;
        this.type = type;
    }

    public int status() {
        return status;
    }

    public String type() {
        return type;
    }
}
