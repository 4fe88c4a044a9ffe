package org.propolis.standin.cortex;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.propolis.standin.Settings;
import org.propolis.standin.web.Json;
import org.propolis.standin.web.Refused;

/** The one index that holds all that Cortex knows: {@code <search.index>_6}, in Elasticsearch or OpenSearch. */
final class Index {
    /** Version of Cortex 3's data model: the end of the index's name. */
    private static final int MODEL = 6;
    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(5)).build();
    private final String base;
    private final String name;
    private final Optional<String> authorization;
    private final Map<String, Object> settings;

    private Index(String base, String name, Optional<String> authorization, Map<String, Object> settings) {
        this.base = base;
        this.name = name;
        this.authorization = authorization;
        this.settings = settings;
    }

    /** One document and, where it is a child, the document in whose shard it lies. */
    record Document(String id, Optional<String> routing, Map<String, Object> source) {}

    /** Reads {@code search}: of several addresses the first is asked. */
    static Index of(Settings settings) {
        String uri = settings.text("search.uri").orElse("http://127.0.0.1:9200/").split(",")[0];
        Optional<String> authorization = settings.text("search.user", "search.username").map(user ->
                "Basic " + Base64.getEncoder().encodeToString(
                        (user + ":" + settings.required("search.password")).getBytes(StandardCharsets.UTF_8)));
        return new Index(
                uri.strip().replaceAll("/+$", ""),
                settings.text("search.index").orElse("cortex") + "_" + MODEL,
                authorization,
                Map.of("number_of_shards", settings.number("search.nbshards", 5),
                        "number_of_replicas", settings.number("search.nbreplicas", 1)));
    }

    String name() {
        return name;
    }

    boolean exists() {
        return send("HEAD", "", null).statusCode() == 200;
    }

    /** Makes the index; it must not be there. */
    void create() {
        Map<String, Object> keyword = Map.of("type", "keyword");
        Map<String, Object> date = Map.of("type", "date", "format", "epoch_millis");
        Map<String, Object> unsearched = Map.of("type", "binary");
        done(send("PUT", "", Map.of(
                "settings", settings,
                "mappings", Map.of("dynamic_templates", List.of(
                        Map.of("dates", Map.of("match", "*Date", "mapping", date)),
                        Map.of("moments", Map.of("match", "*edAt", "mapping", date)),
                        Map.of("texts", Map.of("match_mapping_type", "string", "mapping", keyword))),
                        "properties", Map.of(
                                "message", Map.of("type", "text"),
                                "full", Map.of("type", "text"),
                                "binary", unsearched)))));
    }

    /** Stores documents under their IDs; they can be found at once. */
    void put(List<Document> documents) {
        StringBuilder lines = new StringBuilder();
        for (Document document : documents) {
            Map<String, Object> place = document.routing.<Map<String, Object>>map(parent ->
                    Map.of("_id", document.id, "routing", parent)).orElse(Map.of("_id", document.id));
            lines.append(Json.write(Map.of("index", place))).append('\n');
            lines.append(Json.write(document.source)).append('\n');
        }
        JsonNode answer = done(send("POST", "/_bulk?refresh=true", "application/x-ndjson", lines.toString()));
        if (answer.path("errors").asBoolean()) {
            throw new Refused(500, "CreateError", answer.path("items").path(0).toString());
        }
    }

    Optional<JsonNode> get(String id, Optional<String> routing) {
        String query = routing.map(parent -> "?routing=" + encode(parent)).orElse("");
        HttpResponse<String> answer = send("GET", "/_doc/" + encode(id) + query, null);
        if (answer.statusCode() == 404 && Json.read(answer.body()).has("found")) {
            return Optional.empty();
        }
        return Optional.of(done(answer).path("_source"));
    }

    /** The answer's {@code hits}, oldest first. */
    JsonNode search(Map<String, Object> terms, int from, int size) {
        List<Map<String, Object>> filters = terms.entrySet().stream()
                .map(term -> Map.<String, Object>of("term", Map.of(term.getKey(), term.getValue()))).toList();
        return done(send("POST", "/_search", Map.of(
                "query", Map.of("bool", Map.of("filter", filters)),
                "sort", List.of(Map.of("createdAt", Map.of("order", "asc", "unmapped_type", "date"))),
                "track_total_hits", true, "from", from, "size", size))).path("hits");
    }

    private JsonNode done(HttpResponse<String> answer) {
        JsonNode body = Json.read(answer.body() == null ? "" : answer.body());
        if (answer.statusCode() < 300) {
            return body;
        }
        String type = body.path("error").path("type").asText();
        if (type.equals("index_not_found_exception") || type.equals("index_closed_exception")) {
            throw new Refused(520, "IndexNotFoundException", name + ": the database must be updated");
        }
        String reason = body.path("error").path("reason").asText();
        throw new Refused(500, "SearchError", answer.statusCode() + " " + type + ": " + reason);
    }

    private HttpResponse<String> send(String method, String path, Object body) {
        return send(method, path, "application/json", body == null ? null : Json.write(body));
    }

    private HttpResponse<String> send(String method, String path, String type, String body) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(base + "/" + name + path))
                .timeout(Duration.ofSeconds(30))
                .method(method, body == null ? HttpRequest.BodyPublishers.noBody()
                        : HttpRequest.BodyPublishers.ofString(body));
        if (body != null) {
            request.header("Content-Type", type);
        }
        authorization.ifPresent(value -> request.header("Authorization", value));
        try {
            return client.send(request.build(), HttpResponse.BodyHandlers.ofString());
        } catch (IOException down) {
            throw new Refused(500, "NoNodeAvailable", "ElasticSearch cluster is unreachable");
        } catch (InterruptedException ending) {
            Thread.currentThread().interrupt();
            throw new Refused(503, "Unavailable", "ending");
        }
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }
}
