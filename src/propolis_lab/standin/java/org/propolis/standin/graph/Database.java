package org.propolis.standin.graph;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Map;
import java.util.function.Function;
import org.janusgraph.core.JanusGraph;
import org.janusgraph.core.JanusGraphFactory;
import org.janusgraph.core.JanusGraphTransaction;
import org.propolis.standin.web.Json;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The graph: opened on servers or in folders of its own, and used in whole transactions only. */
public final class Database implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Database.class);
    /** Used where application.conf says nothing. */
    private static final Map<String, String> DEFAULTS = Map.of(
            "storage.backend", "cql",
            "storage.cql.keyspace", "thehive",
            "storage.port", "9042",
            "index.search.backend", "elasticsearch",
            "index.search.port", "9200",
            "index.search.index-name", "thehive",
            // A killed process leaves its registration behind; its successor may have the same number.
            "graph.replace-instance-if-exists", "true",
            // What was written can be searched at once.
            "index.search.elasticsearch.bulk-refresh", "true",
            // Ids are claimed by one process here: no need to wait long for rivals.
            "ids.authority.wait-time", "20");

    /** How often to try, how long to pause between, and whether a missing index is made anew. */
    public record Opening(int tries, Duration pause, boolean rebuildIndex) {}

    private final JanusGraph graph;
    private final String index;

    private Database(JanusGraph graph, String index) {
        this.graph = graph;
        this.index = index;
    }

    /**
     * Opens the graph; makes the schema if there is none. Throws {@link GaveUp} when the servers answered at none of
     * the tries, and IllegalStateException where the index that the schema names is missing.
     */
    public static Database open(Map<String, String> settings, Opening opening) throws InterruptedException, GaveUp {
        Map<String, String> all = new java.util.TreeMap<>(DEFAULTS);
        all.putAll(settings);
        if (opening.rebuildIndex()) {
            // A new index takes several messages of the graph to itself; unasked, it looks for them every 5 s.
            all.putIfAbsent("log.janusgraph.read-interval", "200 ms");
        }
        for (int number = 1; ; number++) {
            JanusGraph graph = null;
            try {
                awaitServers(all);
                JanusGraphFactory.Builder builder = JanusGraphFactory.build();
                all.forEach(builder::set);
                graph = builder.open();
                return new Database(graph, Schema.ensure(graph, opening.rebuildIndex()));
            } catch (IOException | RuntimeException failure) {
                if (graph != null && graph.isOpen()) {
                    graph.close();
                }
                if (Schema.isMissingIndex(failure)) {
                    throw new IllegalStateException("index_not_found: the graph's index is missing or closed", failure);
                }
                if (number >= opening.tries()) {
                    throw new GaveUp("the servers did not answer at " + number + " tries", failure);
                }
                LOG.warn("try {} of {}: {}", number, opening.tries(), failure.toString());
                Thread.sleep(opening.pause().toMillis());
            }
        }
    }

    /** Cheap look at the servers' ports before JanusGraph, which would take long to notice that nobody listens. */
    private static void awaitServers(Map<String, String> settings) throws IOException, InterruptedException {
        if (settings.get("storage.backend").equals("cql")) {
            awaitDatabase(settings);
        }
        if (settings.get("index.search.backend").equals("elasticsearch")) {
            awaitIndex(settings);
        }
    }

    private static void awaitDatabase(Map<String, String> settings) throws IOException {
        String host = settings.getOrDefault("storage.hostname", "127.0.0.1").split(",")[0];
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(host, Integer.parseInt(settings.get("storage.port"))), 5000);
        } catch (IOException refused) {
            throw new IOException("no database at " + host + ":" + settings.get("storage.port"), refused);
        }
    }

    private static void awaitIndex(Map<String, String> settings) throws IOException, InterruptedException {
        String index = settings.getOrDefault("index.search.hostname", "127.0.0.1").split(",")[0];
        String address = index.contains(":") ? index : index + ":" + settings.get("index.search.port");
        try {
            prepareIndex(HttpClient.newHttpClient(), "http://" + address);
        } catch (IOException refused) {
            throw new IOException("no index at " + address, refused);
        }
    }

    /** OpenSearch 2 must tell JanusGraph an Elasticsearch version, or JanusGraph takes it for a very old one. */
    private static void prepareIndex(HttpClient client, String address) throws IOException, InterruptedException {
        HttpResponse<String> root = client.send(
                HttpRequest.newBuilder(URI.create(address + "/")).timeout(Duration.ofSeconds(10)).build(),
                HttpResponse.BodyHandlers.ofString());
        if (root.statusCode() != 200) {
            throw new IOException("HTTP " + root.statusCode());
        }
        JsonNode version = Json.read(root.body()).path("version");
        if (version.path("distribution").asText().equals("opensearch") && version.path("number").asText().startsWith("2.")) {
            String body = "{\"persistent\":{\"compatibility.override_main_response_version\":true}}";
            HttpResponse<String> answer = client.send(
                    HttpRequest.newBuilder(URI.create(address + "/_cluster/settings")).timeout(Duration.ofSeconds(30))
                            .header("content-type", "application/json")
                            .PUT(HttpRequest.BodyPublishers.ofString(body)).build(),
                    HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IOException("cluster settings: HTTP " + answer.statusCode() + " " + answer.body());
            }
        }
    }

    /** The mixed index in use. */
    public String index() {
        return index;
    }

    /** Runs the work in a transaction of its own and commits it; rolls back if the work throws. */
    public <T> T write(Function<JanusGraphTransaction, T> work) {
        JanusGraphTransaction tx = graph.newTransaction();
        try {
            T result = work.apply(tx);
            tx.commit();
            return result;
        } finally {
            if (tx.isOpen()) {
                tx.rollback();
            }
        }
    }

    /** Runs the work in a read-only transaction. */
    public <T> T read(Function<JanusGraphTransaction, T> work) {
        JanusGraphTransaction tx = graph.buildTransaction().readOnly().start();
        try {
            return work.apply(tx);
        } finally {
            tx.rollback();
        }
    }

    @Override
    public void close() {
        graph.close();
    }
}
