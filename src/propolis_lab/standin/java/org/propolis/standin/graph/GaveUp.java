package org.propolis.standin.graph;

/** The servers did not answer at as many tries as TheHive makes: from then on it does nothing, and doesn't end. */
public final class GaveUp extends Exception {
    private static final long serialVersionUID = 1L;

    public GaveUp(String message, Throwable cause) {
        super(message, cause);
    }
}
