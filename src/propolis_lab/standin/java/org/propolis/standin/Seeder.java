package org.propolis.standin;

import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.janusgraph.core.JanusGraphTransaction;
import org.janusgraph.core.JanusGraphVertex;
import org.propolis.standin.graph.Database;
import org.propolis.standin.graph.Names;
import org.propolis.standin.graph.Records;

/** Fills the graph. The same request gives the same titles, texts and files, whatever the threads do. */
public final class Seeder {
    /** What to make; file sizes in bytes, spread evenly over orders of magnitude. */
    public record Request(int cases, int attachments, long seed, int smallest, int largest) {}

    private static final int THREADS = 3;
    private static final int CASES_PER_TRANSACTION = 8;
    /** The files of one transaction wait in no queue: this many at most. */
    private static final int ATTACHMENTS_PER_TRANSACTION = 200;
    /** Every so many attachments one is much bigger, where the range allows. */
    private static final int BIG_EVERY = 100;
    /** 2024-01-01: nothing that is seeded depends on today's date. */
    private static final long EPOCH = 1_704_067_200_000L;

    private final Database database;
    private final Records records;

    public Seeder(Database database, Records records) {
        this.database = database;
        this.records = records;
    }

    /** Returns how many of each were made; throws what the first failed transaction threw. */
    public Map<String, Object> fill(Request request) throws InterruptedException {
        int first = records.takeNumbers(request.cases);
        int perCase = Math.max(1, request.attachments / request.cases);
        int step = Math.max(1, Math.min(CASES_PER_TRANSACTION, ATTACHMENTS_PER_TRANSACTION / perCase));
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        try {
            List<Future<?>> parts = new ArrayList<>();
            for (int begin = 0; begin < request.cases; begin += step) {
                int from = begin;
                int to = Math.min(begin + step, request.cases);
                parts.add(pool.submit(() -> database.write(tx -> {
                    for (int i = from; i < to; i++) {
                        fillCase(tx, request, i, first + i);
                    }
                    return null;
                })));
            }
            for (Future<?> part : parts) {
                part.get();
            }
        } catch (ExecutionException failed) {
            throw new IllegalStateException("seeding stopped half-way", failed.getCause());
        } finally {
            pool.shutdownNow();
        }
        return new TreeMap<>(Map.of(
                "cases", request.cases, "attachments", request.attachments, "firstNumber", first,
                "lastNumber", first + request.cases - 1));
    }

    private void fillCase(JanusGraphTransaction tx, Request request, int index, int number) {
        Random random = new Random(request.seed * 1_000_003 + index);
        String by = Accounts.ADMINISTRATOR;
        Date at = new Date(EPOCH + index * 3_600_000L + random.nextInt(3_600_000));
        JanusGraphVertex made = records.addCase(tx, by, at, number, Map.of(
                "title", Words.title(random) + " " + request.seed + "-" + index,
                "description", Words.text(random, 3 + random.nextInt(4)),
                "severity", 1 + random.nextInt(4),
                "tags", Set.of("seed-" + request.seed, "batch-" + index % 10)));
        List<JanusGraphVertex> holders = new ArrayList<>(List.of(made));
        for (int t = 0; t < 2; t++) {
            JanusGraphVertex task = records.addChild(tx, by, at, made, Names.CASE_TASK, Names.TASK, Map.of(
                    "title", Words.title(random), "status", "Waiting", "group", "default"));
            for (int l = 0; l < 2; l++) {
                holders.add(records.addChild(tx, by, at, task, Names.TASK_LOG, Names.LOG,
                        Map.of("message", Words.text(random, 2), "date", at)));
            }
        }
        for (int o = 0; o < 4; o++) {
            String[] found = Words.observable(random);
            holders.add(records.addChild(tx, by, at, made, Names.CASE_OBSERVABLE, Names.OBSERVABLE, Map.of(
                    "dataType", found[0], "data", found[1], "message", Words.text(random, 1), "tlp", 2,
                    "ioc", random.nextBoolean())));
        }
        if (index % 2 == 0) {
            records.addAlert(tx, by, at, Map.of(
                    "type", "external", "source", "seed", "sourceRef", request.seed + "-" + number,
                    "title", Words.title(random), "description", Words.text(random, 2), "severity", 2, "date", at))
                    .addEdge(Names.ALERT_CASE, made);
        }
        // Attachments are dealt round-robin: attachment j belongs to case j modulo the number of cases.
        for (int j = index; j < request.attachments; j += request.cases) {
            JanusGraphVertex holder = holders.get(random.nextInt(holders.size()));
            records.attach(tx, by, at, holder, edge(holder), "file-" + request.seed + "-" + j + ".bin",
                    "application/octet-stream", Words.content(random, size(random, request, j)));
        }
    }

    private static int size(Random random, Request request, int index) {
        double low = Math.log(Math.max(1, request.smallest));
        double high = Math.log(Math.max(1, request.largest));
        int size = (int) Math.round(Math.exp(low + random.nextDouble() * (high - low)));
        return index % BIG_EVERY == 0 ? Math.min(size * 8, request.largest * 16) : size;
    }

    private static String edge(JanusGraphVertex holder) {
        return switch (holder.label()) {
            case Names.CASE -> Names.CASE_ATTACHMENT;
            case Names.LOG -> Names.LOG_ATTACHMENT;
            default -> Names.OBSERVABLE_ATTACHMENT;
        };
    }
}
