package org.propolis.standin.web;

import java.util.Optional;

/** Tells who somebody is. */
public interface Authenticator {
    /** Whom an {@code Authorization} header or a session cookie stands for; either may be null. */
    Optional<String> authenticate(String authorization, String session) throws Exception;
}
