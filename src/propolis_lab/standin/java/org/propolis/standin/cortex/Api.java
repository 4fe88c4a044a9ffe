package org.propolis.standin.cortex;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.propolis.standin.Settings;
import org.propolis.standin.web.NotFound;
import org.propolis.standin.web.Request;
import org.propolis.standin.web.Response;
import org.propolis.standin.web.Server;

/** The HTTP paths, most as Cortex 3 has them. */
final class Api {
    private static final String VERSION = "3.1.8-1";
    private static final String ADMINISTRATOR = "admin";
    private static final int PAGE = 1000;
    private final Settings settings;
    private final Index index;
    private final Users users;
    private final Jobs jobs;

    Api(Settings settings, Index index, Users users, Jobs jobs) {
        this.settings = settings;
        this.index = index;
        this.users = users;
        this.jobs = jobs;
    }

    void routes(Server server) {
        server.route("GET", "/api/status", true, request -> Response.ok(Map.of(
                "versions", Map.of("Cortex", VERSION),
                "config", Map.of("authType", List.of("local"), "capabilities", List.of("authByKey", "setPassword")))));
        server.route("POST", "/api/maintenance/migrate", true, request -> migrate());
        server.route("POST", "/api/login", true, this::login);
        server.route("GET", "/api/user/current", request -> Response.ok(
                Map.of("id", request.login(), "organization", Users.ORGANIZATION, "status", "Ok")));
        server.route("GET", "/api/analyzer", request -> Response.ok(Jobs.ANALYZERS.stream()
                .map(name -> Map.of("id", name, "name", name, "workerDefinitionId", name)).toList()));
        server.route("POST", "/api/analyzer/{}/run", this::run);
        server.route("GET", "/api/job", request -> Response.ok(list(request.query().getOrDefault("range", "0-10"))));
        server.route("GET", "/api/job/{}", request -> Response.ok(jobs.one(request.part(0))));
        server.route("GET", "/api/job/{}/report", request -> Response.ok(jobs.report(request.part(0))));
        server.route("GET", "/api/datastore/{}", request -> new Response(
                200, "application/octet-stream", jobs.attachment(request.part(0)), Map.of()));
        server.route("POST", "/api/lab/seed", request -> {
            JsonNode body = request.json();
            return Response.ok(jobs.seed(request.login(), body.path("jobs").asInt(), body.path("seed").asLong()));
        });
    }

    /** Makes the index, its administrator and its analyzers, unless they are there. */
    private Response migrate() {
        if (!index.exists()) {
            long now = System.currentTimeMillis();
            index.create();
            users.createFirst(ADMINISTRATOR, settings.text("standin.admin-password").orElse("secret"),
                    settings.text("standin.api-key"), now);
            jobs.enableAnalyzers(now);
        }
        return Response.empty();
    }

    private Response login(Request request) {
        JsonNode body = request.json();
        return users.byPassword(body.path("user").asText(), body.path("password").asText())
                .map(login -> Response.ok(Map.of("id", login)))
                .orElseGet(() -> Response.error(401, "AuthenticationError", "Authentication failure"));
    }

    private Response run(Request request) {
        if (!Jobs.ANALYZERS.contains(request.part(0))) {
            throw new NotFound("analyzer " + request.part(0));
        }
        JsonNode body = request.json();
        return Response.ok(jobs.run(request.login(), new Jobs.Question(
                request.part(0), body.path("dataType").asText("other"), body.path("data").asText(),
                Base64.getDecoder().decode(body.path("attachment").asText()), body.path("message").asText(),
                body.path("tlp").asInt(2))));
    }

    /** {@code from-to}, or {@code all}. */
    private List<Map<String, Object>> list(String range) {
        if (!range.equals("all")) {
            String[] ends = range.split("-", 2);
            int from = Integer.parseUnsignedInt(ends[0]);
            return jobs.list(from, Math.max(0, Integer.parseUnsignedInt(ends[ends.length - 1]) - from));
        }
        List<Map<String, Object>> all = new ArrayList<>();
        List<Map<String, Object>> page;
        do {
            page = jobs.list(all.size(), PAGE);
            all.addAll(page);
        } while (page.size() == PAGE);
        return all;
    }
}
