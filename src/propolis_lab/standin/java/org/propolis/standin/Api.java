package org.propolis.standin;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.janusgraph.core.JanusGraph;
import org.propolis.standin.graph.Database;
import org.propolis.standin.graph.Names;
import org.propolis.standin.graph.Queries;
import org.propolis.standin.graph.Records;
import org.propolis.standin.web.Json;
import org.propolis.standin.web.NotFound;
import org.propolis.standin.web.Request;
import org.propolis.standin.web.Response;
import org.propolis.standin.web.Server;

/** What can be asked over HTTP, path by path. */
public final class Api {
    public static final String COOKIE = "THEHIVE-SESSION";
    private static final int PAGE = 100;
    private final Queries queries;
    private final Records records;
    private final Accounts accounts;
    private final Database database;
    private final Acknowledgements acknowledgements;
    private final Load load;

    public Api(Database database, Records records, Accounts accounts, Acknowledgements acknowledgements, Load load) {
        this.database = database;
        this.queries = new Queries(database);
        this.records = records;
        this.accounts = accounts;
        this.acknowledgements = acknowledgements;
        this.load = load;
    }

    public void routes(Server server) {
        // As TheHive does: the status is good whatever is down, and only the body of the health tells.
        server.route("GET", "/api/status", true, request -> status());
        server.route("GET", "/api/health", true, request -> Response.text(queries.healthy() ? "Ok" : "Error"));
        server.route("GET", "/api/v1/status/public", true, request -> Response.ok(Map.of("versions", versions())));
        server.route("GET", "/api/v1/status", request -> status());
        server.route("POST", "/api/v1/login", true, this::login);
        server.route("GET", "/api/v1/user/current", request -> Response.ok(Map.of("login", request.login())));
        server.route("POST", "/api/v1/user/{}/key/renew", request -> Response.text(accounts.renewKey(request.part(0))));

        server.route("GET", "/api/v1/cases", request -> Response.ok(
                queries.cases(request.query("from", 0), request.query("size", PAGE))));
        server.route("GET", "/api/v1/attachments", request -> list("attachments", Names.ATTACHMENT, request));
        server.route("GET", "/api/v1/alerts", request -> list("alerts", Names.ALERT, request));
        server.route("GET", "/api/v1/counts", request -> Response.ok(queries.counts()));
        server.route("GET", "/api/v1/search", request -> Response.ok(queries.search(
                request.query().getOrDefault("q", ""), request.query("from", 0), request.query("size", PAGE))));

        server.route("POST", "/api/v1/case", request -> acknowledge(
                records.createCase(request.login(), properties(request.json(), "title", "description"))));
        server.route("GET", "/api/v1/case/{}", request -> Response.ok(queries.oneCase(request.number(0))));
        server.route("PATCH", "/api/v1/case/{}", request -> Response.ok(
                records.updateCase(request.login(), request.number(0), properties(request.json()))));
        server.route("DELETE", "/api/v1/case/{}", request -> {
            records.deleteCase(request.login(), request.number(0));
            return Response.empty();
        });
        server.route("POST", "/api/v1/case/{}/task", request -> acknowledge(
                records.createTask(request.login(), request.number(0), properties(request.json(), "title"))));
        server.route("POST", "/api/v1/case/{}/observable", request -> acknowledge(
                records.createObservable(request.login(), request.number(0), properties(request.json(), "dataType", "data"))));
        server.route("POST", "/api/v1/case/{}/attachment", this::attach);
        server.route("POST", "/api/v1/task/{}/log", request -> acknowledge(
                records.createLog(request.login(), request.part(0), properties(request.json(), "message"))));
        server.route("POST", "/api/v1/alert", this::alert);
        server.route("GET", "/api/v1/attachment/{}/download", this::download);
        server.route("DELETE", "/api/v1/attachment/{}", request -> {
            records.deleteAttachment(request.login(), request.part(0));
            return Response.empty();
        });

        server.route("POST", "/api/v1/lab/seed", this::seed);
        server.route("GET", "/api/v1/lab/load", request -> Response.ok(load.counts()));
        server.route("POST", "/api/v1/lab/load", request -> {
            load.rate(request.json().path("per-second").asDouble(-1));
            return Response.ok(load.counts());
        });
    }

    private static Map<String, String> versions() {
        return Map.of("TheHive", "stand-in", "JanusGraph", String.valueOf(JanusGraph.version()));
    }

    private static Response status() {
        return Response.ok(Map.of("versions", versions(), "schemaStatus", "OK"));
    }

    private Response login(Request request) {
        JsonNode given = request.json();
        return accounts.byPassword(given.path("user").asText(), given.path("password").asText())
                .map(login -> new Response(200, "application/json",
                        Json.write(Map.of("login", login)).getBytes(StandardCharsets.UTF_8),
                        Map.of("Set-Cookie", COOKIE + "=" + accounts.session(login) + "; Path=/; HttpOnly; SameSite=Lax")))
                .orElseGet(() -> Response.error(401, "AuthenticationError", "Authentication failure"));
    }

    private Response list(String name, String label, Request request) {
        return Response.ok(queries.list(name, label, request.query("from", 0), request.query("size", PAGE)));
    }

    private Response acknowledge(Map<String, Object> made) {
        acknowledgements.add(made);
        return Response.created(made);
    }

    private Response attach(Request request) {
        String name = Request.decode(request.header("X-File-Name").orElse("attachment.bin"));
        String type = request.header("Content-Type").orElse("application/octet-stream");
        return acknowledge(records.attachToCase(request.login(), request.number(0), name, type, request.body()));
    }

    private Response alert(Request request) {
        JsonNode given = request.json();
        Optional<Integer> number = given.has("case") ? Optional.of(given.get("case").asInt()) : Optional.empty();
        return acknowledge(records.createAlert(
                request.login(), number, properties(given, "type", "source", "sourceRef", "title", "description")));
    }

    private Response download(Request request) {
        return database.read(tx -> {
            var found = Records.attachment(tx, request.part(0));
            try {
                return new Response(200, found.value("contentType"), records.content(found), Map.of(
                        "Content-Disposition",
                        "attachment; filename*=UTF-8''" + URLEncoder.encode(found.value("name"), StandardCharsets.UTF_8)));
            } catch (java.io.FileNotFoundException lost) {
                throw new NotFound("the content of attachment " + request.part(0));
            } catch (java.io.IOException failure) {
                throw new java.io.UncheckedIOException(failure);
            }
        });
    }

    private Response seed(Request request) throws InterruptedException {
        JsonNode given = request.json();
        JsonNode bytes = given.path("attachment-bytes");
        Seeder.Request wanted = new Seeder.Request(
                given.path("cases").asInt(200), given.path("attachments").asInt(2000), given.path("seed").asLong(1),
                bytes.path(0).asInt(1024), bytes.path(1).asInt(65_536));
        if (wanted.cases() < 1 || wanted.attachments() < 0 || wanted.smallest() < 0 || wanted.largest() < wanted.smallest()) {
            throw new IllegalArgumentException("cases ≥ 1, attachments ≥ 0, attachment-bytes [min, max]");
        }
        return Response.ok(new Seeder(database, records).fill(wanted));
    }

    /** The properties that a client may set, of the right types; throws if a required one is missing. */
    private static Map<String, Object> properties(JsonNode given, String... required) {
        for (String name : required) {
            if (given.path(name).asText().isBlank()) {
                throw new IllegalArgumentException("missing: " + name);
            }
        }
        Map<String, Object> properties = new LinkedHashMap<>();
        for (String name : new String[] {
            "title", "description", "message", "status", "type", "source", "sourceRef", "group", "dataType", "data"}) {
            if (given.has(name)) {
                properties.put(name, given.get(name).asText());
            }
        }
        for (String name : new String[] {"severity", "tlp", "pap"}) {
            if (given.has(name)) {
                properties.put(name, given.get(name).asInt());
            }
        }
        if (given.path("tags").isArray()) {
            List<String> tags = new ArrayList<>();
            given.get("tags").forEach(tag -> tags.add(tag.asText()));
            properties.put("tags", tags);
        }
        return properties;
    }
}
