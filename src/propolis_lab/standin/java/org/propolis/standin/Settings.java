package org.propolis.standin;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigValueType;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.propolis.standin.files.Files;
import org.propolis.standin.files.LocalFiles;
import org.propolis.standin.files.S3Files;
import org.propolis.standin.graph.Database;

/** What {@code application.conf} says, with TheHive's keys; the stand-in's own lie under {@code standin}. */
public final class Settings {
    private static final String REBUILD = "db.janusgraph.dropAndRebuildIndexOnFailure";
    private final Config config;

    private Settings(Config config) {
        this.config = config;
    }

    /** Reads a HOCON file with its includes; throws com.typesafe.config.ConfigException with file and line. */
    public static Settings read(Path file) {
        return new Settings(ConfigFactory.parseFile(file.toFile()).resolve());
    }

    /** The text at the first of the given paths that is set. */
    public Optional<String> text(String... paths) {
        for (String path : paths) {
            if (config.hasPath(path)) {
                return Optional.of(config.getString(path));
            }
        }
        return Optional.empty();
    }

    public String required(String... paths) {
        return text(paths).orElseThrow(() -> new IllegalArgumentException("missing setting: " + paths[0]));
    }

    public int number(String path, int otherwise) {
        return config.hasPath(path) ? config.getInt(path) : otherwise;
    }

    public String address() {
        return text("http.address", "play.server.http.address").orElse("127.0.0.1");
    }

    public int port() {
        return number("http.port", number("play.server.http.port", 9000));
    }

    public String secretKey() {
        return required("play.http.secret.key");
    }

    /** How to open the graph: how often to try, how long to pause between, what to do if the index is missing. */
    public Database.Opening opening() {
        return new Database.Opening(
                number("standin.start-tries", 10),
                Duration.ofMillis((long) (1000 * Double.parseDouble(text("standin.start-pause").orElse("1")))),
                config.hasPath(REBUILD) && config.getBoolean(REBUILD));
    }

    /** What is under {@code db.janusgraph}, flattened to JanusGraph's dotted names; lists become comma-separated. */
    public Map<String, String> graph() {
        Map<String, String> flat = new LinkedHashMap<>();
        Config graph = config.getConfig("db.janusgraph");
        graph.entrySet().forEach(entry -> {
            String path = entry.getKey().replace("\"", "");
            if (REBUILD.endsWith("." + path)) {
                return; // TheHive's own, unknown to JanusGraph
            }
            String value = entry.getValue().valueType() == ConfigValueType.LIST
                    ? String.join(",", graph.getStringList(entry.getKey()))
                    : String.valueOf(entry.getValue().unwrapped());
            flat.put(path, value);
        });
        return flat;
    }

    /** The attachments' store: {@code storage.provider} is {@code localfs} or {@code s3}. */
    public Files files() {
        String provider = required("storage.provider");
        return switch (provider) {
            case "localfs" -> new LocalFiles(Path.of(required("storage.localfs.location")));
            case "s3" -> S3Files.of(this);
            default -> throw new IllegalArgumentException("storage.provider: neither localfs nor s3: " + provider);
        };
    }
}
