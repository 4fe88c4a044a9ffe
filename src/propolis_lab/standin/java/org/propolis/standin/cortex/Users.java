package org.propolis.standin.cortex;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.propolis.standin.Digests;
import org.propolis.standin.web.Authenticator;
import org.propolis.standin.web.Refused;

/** Users in the index and how they prove who they are. Nothing is cached: every login asks the index. */
final class Users implements Authenticator {
    static final String ORGANIZATION = "demo";
    private final Index index;

    Users(Index index) {
        this.index = index;
    }

    /** The first user, who may do anything; there must be none yet. */
    void createFirst(String login, String password, Optional<String> apiKey, long now) {
        if (index.search(Map.of("relations", "user"), 0, 1).path("total").path("value").asInt() > 0) {
            throw new Refused(403, "AuthorizationError", "There is a user already");
        }
        Map<String, Object> organization = Map.of(
                "relations", "organization", "name", ORGANIZATION, "description", "Organisation " + ORGANIZATION,
                "status", "Active", "createdAt", now, "createdBy", "init");
        Map<String, Object> user = new java.util.TreeMap<>(Map.of(
                "relations", "user", "name", login, "organization", ORGANIZATION, "status", "Ok",
                "roles", List.of("read", "analyze", "orgadmin", "superadmin"),
                "password", Digests.password(password), "createdAt", now, "createdBy", "init"));
        apiKey.ifPresent(key -> user.put("key", Digests.sha256(key)));
        index.put(List.of(
                new Index.Document(ORGANIZATION, Optional.empty(), organization),
                new Index.Document(login, Optional.empty(), user)));
    }

    /** The login, if its password is right. */
    Optional<String> byPassword(String login, String password) {
        return index.get(login, Optional.empty())
                .filter(user -> user.path("relations").asText().equals("user"))
                .filter(user -> Digests.passwordMatches(password, user.path("password").asText()))
                .map(user -> login);
    }

    /** API keys, and passwords with HTTP basic; there are no sessions. */
    @Override
    public Optional<String> authenticate(String authorization, String session) {
        if (authorization != null && authorization.startsWith("Bearer ")) {
            String key = Digests.sha256(authorization.substring("Bearer ".length()).strip());
            JsonNode hits = index.search(Map.of("relations", "user", "key", key), 0, 1).path("hits");
            return hits.isEmpty() ? Optional.empty() : Optional.of(hits.path(0).path("_id").asText());
        }
        if (authorization != null && authorization.startsWith("Basic ")) {
            byte[] pair = Base64.getDecoder().decode(authorization.substring("Basic ".length()).strip());
            String[] parts = new String(pair, StandardCharsets.UTF_8).split(":", 2);
            return parts.length == 2 ? byPassword(parts[0], parts[1]) : Optional.empty();
        }
        return Optional.empty();
    }
}
