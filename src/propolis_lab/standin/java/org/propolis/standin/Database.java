package org.propolis.standin;

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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The graph: opened on Cassandra and the index, and used in whole transactions only. */
final class Database implements AutoCloseable {
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

    private final JanusGraph graph;

    private Database(JanusGraph graph) {
        this.graph = graph;
    }

    /** Waits for both servers, opens the graph, makes the schema if there is none; throws after the time-out. */
    static Database open(Map<String, String> settings, Duration timeout) throws InterruptedException {
        Map<String, String> all = new java.util.TreeMap<>(DEFAULTS);
        all.putAll(settings);
        long end = System.nanoTime() + timeout.toNanos();
        while (true) {
            JanusGraph graph = null;
            try {
                awaitServers(all);
                JanusGraphFactory.Builder builder = JanusGraphFactory.build();
                all.forEach(builder::set);
                graph = builder.open();
                Schema.ensure(graph);
                return new Database(graph);
            } catch (IOException | RuntimeException failure) {
                if (graph != null && graph.isOpen()) {
                    graph.close();
                }
                if (System.nanoTime() > end) {
                    throw new IllegalStateException("the graph can't be opened", failure);
                }
                LOG.warn("not yet: {}", failure.toString());
                Thread.sleep(300);
            }
        }
    }

    /** Cheap look at both ports before JanusGraph, which would take long to notice that nobody listens. */
    private static void awaitServers(Map<String, String> settings) throws IOException, InterruptedException {
        String host = settings.getOrDefault("storage.hostname", "127.0.0.1").split(",")[0];
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(host, Integer.parseInt(settings.get("storage.port"))), 5000);
        } catch (IOException refused) {
            throw new IOException("no database at " + host + ":" + settings.get("storage.port"), refused);
        }
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

    /** Runs the work in a transaction of its own and commits it; rolls back if the work throws. */
    <T> T write(Function<JanusGraphTransaction, T> work) {
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
    <T> T read(Function<JanusGraphTransaction, T> work) {
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
