package org.propolis.standin.cortex;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import org.propolis.standin.Digests;
import org.propolis.standin.Words;
import org.propolis.standin.web.Json;
import org.propolis.standin.web.NotFound;

/** Analyzers' jobs: what they were asked, their reports in the index, their folders on disk. */
final class Jobs {
    static final List<String> ANALYZERS = List.of("FileInfo_8_0", "MaxMind_GeoIP_4_0", "Urlscan_io_0_1_1");
    /** 2024-01-01: nothing that is seeded depends on today's date. */
    private static final long EPOCH = 1_704_067_200_000L;
    /** Every so many seeded jobs one is about a file. */
    private static final int FILE_EVERY = 4;
    private static final int LARGEST_FILE = 40_000;

    private final Index index;
    private final Folders folders;

    Jobs(Index index, Folders folders) {
        this.index = index;
        this.folders = folders;
    }

    /** What an analyzer is asked: about a text, or about a file's content. */
    record Question(String analyzer, String dataType, String data, byte[] attachment, String message, int tlp) {}

    /** The analyzers, as documents of the index. */
    void enableAnalyzers(long now) {
        index.put(ANALYZERS.stream().map(name -> new Index.Document(
                name, Optional.of(Users.ORGANIZATION), Map.of(
                        "relations", "worker", "parent", Users.ORGANIZATION, "name", name,
                        "type", "analyzer", "workerDefinitionId", name, "createdAt", now, "createdBy", "init")))
                .toList());
    }

    /** Runs a job to its end and returns it. */
    Map<String, Object> run(String by, Question question) {
        String id = Digests.secret().replaceAll("[^A-Za-z0-9]", "x").substring(0, 20);
        index.put(work(id, by, System.currentTimeMillis(), question));
        return one(id);
    }

    /** Jobs that depend on nothing but the seed; returns how many. */
    Map<String, Object> seed(String by, int jobs, long seed) {
        List<Index.Document> made = new ArrayList<>();
        for (int i = 0; i < jobs; i++) {
            Random random = new Random(seed * 1_000_003 + i);
            boolean file = i % FILE_EVERY == 0;
            String[] observable = Words.observable(random);
            byte[] content = file ? Words.content(random, 1 + random.nextInt(LARGEST_FILE)) : new byte[0];
            made.addAll(work(
                    Digests.sha256("job " + seed + " " + i).substring(0, 20), by, EPOCH + i * 60_000L,
                    new Question(ANALYZERS.get(file ? 0 : 1 + i % 2), file ? "file" : observable[0],
                            file ? "" : observable[1], content, Words.text(random, 1), random.nextInt(4))));
        }
        if (!made.isEmpty()) {
            index.put(made);
        }
        return Map.of("jobs", jobs);
    }

    /** The folder of a job, and its documents: itself, its report, and the content of its file. */
    private List<Index.Document> work(String id, String by, long at, Question question) {
        boolean file = question.attachment.length > 0;
        String hash = Digests.sha256(question.attachment);
        String full = Json.write(Map.of(
                "taxonomies", List.of(Map.of("level", "info", "predicate", question.dataType, "value", question.data)),
                "sha256", file ? hash : Digests.sha256(question.data)));
        Map<String, Object> input = new TreeMap<>(Map.of(
                "dataType", question.dataType, "tlp", question.tlp, "message", question.message,
                "parameters", Map.of(), "config", Map.of("check_tlp", true)));
        input.put(file ? "file" : "data", file ? "attachment" : question.data);
        folders.work(id, Json.write(input), question.attachment,
                Json.write(Map.of("success", true, "full", Json.read(full), "artifacts", List.of())));

        Map<String, Object> job = new TreeMap<>(Map.of(
                "relations", "job", "workerId", question.analyzer, "workerName", question.analyzer,
                "workerDefinitionId", question.analyzer, "organization", Users.ORGANIZATION, "status", "Success",
                "type", "analyzer", "dataType", question.dataType, "tlp", question.tlp, "message", question.message));
        job.putAll(Map.of("startDate", at, "endDate", at + 500, "createdAt", at, "createdBy", by, "parameters", "{}"));
        List<Index.Document> documents = new ArrayList<>();
        if (file) {
            job.put("attachment", Map.of("id", hash, "name", "sample.bin", "size", question.attachment.length));
            documents.add(new Index.Document(hash + "_0", Optional.empty(), Map.of(
                    "relations", "data", "binary", Base64.getEncoder().encodeToString(question.attachment))));
        } else {
            job.put("data", question.data);
        }
        documents.add(new Index.Document(id, Optional.empty(), job));
        documents.add(new Index.Document("report-" + id, Optional.of(id), Map.of(
                "relations", "report", "parent", id, "full", full, "summary", "{}",
                "operations", "[]", "createdAt", at + 500, "createdBy", by)));
        return documents;
    }

    /** Pages of jobs, oldest first. */
    List<Map<String, Object>> list(int from, int size) {
        List<Map<String, Object>> found = new ArrayList<>();
        index.search(Map.of("relations", "job"), from, size).path("hits")
                .forEach(hit -> found.add(shown(hit.path("_id").asText(), hit.path("_source"))));
        return found;
    }

    Map<String, Object> one(String id) {
        return shown(id, index.get(id, Optional.empty())
                .filter(found -> found.path("relations").asText().equals("job"))
                .orElseThrow(() -> new NotFound("job " + id)));
    }

    /** A job with its report. */
    Map<String, Object> report(String id) {
        Map<String, Object> job = one(id);
        JsonNode report = index.get("report-" + id, Optional.of(id)).orElseThrow(() -> new NotFound("report of " + id));
        job.put("report", Map.of("success", true, "full", Json.read(report.path("full").asText()),
                "summary", Json.read(report.path("summary").asText())));
        return job;
    }

    /** The content of a job's file. */
    byte[] attachment(String hash) {
        JsonNode chunk = index.get(hash + "_0", Optional.empty()).orElseThrow(() -> new NotFound("attachment " + hash));
        return Base64.getDecoder().decode(chunk.path("binary").asText());
    }

    private static Map<String, Object> shown(String id, JsonNode source) {
        Map<String, Object> shown = new TreeMap<>();
        source.fields().forEachRemaining(field -> shown.put(field.getKey(), field.getValue()));
        shown.remove("relations");
        shown.put("id", id);
        shown.put("_type", "job");
        shown.put("analyzerId", source.path("workerId"));
        shown.put("date", source.path("createdAt"));
        return shown;
    }
}
