package org.propolis.standin;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.Base64;
import java.util.Date;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.janusgraph.core.JanusGraphTransaction;
import org.janusgraph.core.JanusGraphVertex;
import org.propolis.standin.graph.Database;
import org.propolis.standin.graph.Names;
import org.propolis.standin.graph.Vertices;
import org.propolis.standin.web.Authenticator;
import org.propolis.standin.web.NotFound;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Organisations, users and how they prove who they are. Nothing is cached: a login asks the index and the database. */
public final class Accounts implements Authenticator {
    public static final String ADMINISTRATOR = "admin@thehive.local";
    private static final Logger LOG = LoggerFactory.getLogger(Accounts.class);
    private static final Duration SESSION = Duration.ofHours(8);
    private final Database database;
    private final String secretKey;

    public Accounts(Database database, String secretKey) {
        this.database = database;
        this.secretKey = secretKey;
    }

    /** On a first start: two organisations and the administrator. Later starts change nothing. */
    public void ensure(String password, Optional<String> apiKey) {
        database.write(tx -> {
            if (Vertices.byKey(tx, Names.USER, "login", ADMINISTRATOR).isPresent()) {
                return null;
            }
            Date now = new Date();
            JanusGraphVertex admin = organisation(tx, "admin", now);
            JanusGraphVertex demo = organisation(tx, "demo", now);
            JanusGraphVertex user = Vertices.add(tx, Names.USER, "system", now, Map.of(
                    "login", ADMINISTRATOR, "name", "Administrator", "password", Digests.password(password)));
            apiKey.ifPresent(key -> user.property("apikey", Digests.sha256(key)));
            user.addEdge(Names.USER_ORGANISATION, admin);
            user.addEdge(Names.USER_ORGANISATION, demo);
            return null;
        });
    }

    private static JanusGraphVertex organisation(JanusGraphTransaction tx, String name, Date now) {
        return Vertices.add(tx, Names.ORGANISATION, "system", now,
                Map.of("name", name, "description", "Organisation " + name));
    }

    /** A new API key, which replaces the user's former one. Only its hash is kept. */
    public String renewKey(String login) {
        String key = Digests.secret();
        database.write(tx -> {
            JanusGraphVertex user = Vertices.byKey(tx, Names.USER, "login", login)
                    .orElseThrow(() -> new NotFound("user " + login));
            user.property("apikey", Digests.sha256(key));
            return null;
        });
        return key;
    }

    /** Who shows this password, if it is right. */
    public Optional<String> byPassword(String login, String password) {
        return lookUp(tx -> Vertices.byKey(tx, Names.USER, "login", login)
                .filter(user -> Digests.passwordMatches(password, user.value("password")))
                .map(user -> login));
    }

    /** A session token that needs no record: login and expiry, signed with Play's secret key. */
    public String session(String login) {
        String text = login + " " + (System.currentTimeMillis() + SESSION.toMillis());
        return encode(text) + "." + Digests.sign(secretKey, text);
    }

    /** Who an {@code Authorization} header or a session cookie stands for. */
    @Override
    public Optional<String> authenticate(String authorization, String session) {
        if (authorization != null && authorization.startsWith("Bearer ")) {
            return byKey(authorization.substring("Bearer ".length()).strip());
        }
        if (authorization != null && authorization.startsWith("Basic ")) {
            String[] pair = decode(authorization.substring("Basic ".length()).strip()).split(":", 2);
            return pair.length == 2 ? byPassword(pair[0], pair[1]) : Optional.empty();
        }
        return session == null ? Optional.empty() : bySession(session);
    }

    private Optional<String> byKey(String key) {
        return lookUp(tx -> Vertices.byKey(tx, Names.USER, "apikey", Digests.sha256(key))
                .map(user -> user.<String>value("login")));
    }

    /** TheHive finds users by the index: with either server down, or without the index, nobody gets in. */
    private Optional<String> lookUp(Function<JanusGraphTransaction, Optional<String>> search) {
        try {
            return database.read(tx -> tx.indexQuery(database.index(), "v.\"_label\":" + Names.USER).vertexTotals() > 0
                    ? search.apply(tx)
                    : Optional.empty());
        } catch (RuntimeException down) {
            LOG.warn("a login can't be looked up: {}", down.toString());
            return Optional.empty();
        }
    }

    private Optional<String> bySession(String token) {
        int dot = token.indexOf('.');
        if (dot < 0) {
            return Optional.empty();
        }
        String text = decode(token.substring(0, dot));
        boolean genuine = MessageDigest.isEqual(
                Digests.sign(secretKey, text).getBytes(StandardCharsets.UTF_8),
                token.substring(dot + 1).getBytes(StandardCharsets.UTF_8));
        String[] parts = text.split(" ");
        return genuine && Long.parseLong(parts[1]) > System.currentTimeMillis()
                ? lookUp(tx -> Vertices.byKey(tx, Names.USER, "login", parts[0]).map(user -> parts[0]))
                : Optional.empty();
    }

    private static String encode(String text) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String decode(String text) {
        try {
            return new String(Base64.getDecoder().decode(text.replace('-', '+').replace('_', '/')), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException malformed) {
            return "";
        }
    }
}
