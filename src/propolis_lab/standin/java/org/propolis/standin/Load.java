package org.propolis.standin;

import java.util.Map;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.propolis.standin.graph.Records;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A constant stream of writes: case, attachment, log, and again. Failures are logged and the stream goes on. */
public final class Load implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Load.class);
    private final Records records;
    private final Acknowledgements acknowledgements;
    private final Random random = new Random();
    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    private ScheduledFuture<?> running;
    private long lastBegin;
    private long turn;
    private int caseNumber;
    private String task;
    private long written;
    private long failed;

    public Load(Records records, Acknowledgements acknowledgements) {
        this.records = records;
        this.acknowledgements = acknowledgements;
    }

    /** Changes the rate; 0 stops, after the write under way. */
    public synchronized void rate(double perSecond) {
        if (perSecond < 0 || perSecond > 1000) {
            throw new IllegalArgumentException("per-second: between 0 and 1000");
        }
        if (running != null) {
            running.cancel(false);
            running = null;
        }
        if (perSecond > 0) {
            long period = Math.round(1e9 / perSecond);
            running = timer.scheduleAtFixedRate(() -> write(period), 0, period, TimeUnit.NANOSECONDS);
        }
    }

    public synchronized Map<String, Object> counts() {
        return Map.of("written", written, "failed", failed, "running", running != null);
    }

    private void write(long every) {
        // After an outage the timer would make up for all that was missed: the rate is to stay as it is.
        if (System.nanoTime() - lastBegin < every / 2) {
            return;
        }
        lastBegin = System.nanoTime();
        try {
            Map<String, ?> made = next();
            acknowledgements.add(made);
            count(true);
        } catch (RuntimeException failure) {
            turn = 0; // the case or task at hand may not exist
            LOG.warn("a write of the load failed: {}", failure.toString());
            count(false);
        }
    }

    private synchronized void count(boolean good) {
        if (good) {
            written++;
        } else {
            failed++;
        }
    }

    private Map<String, ?> next() {
        String by = Accounts.ADMINISTRATOR;
        Map<String, Object> made = switch ((int) (turn % 4)) {
            case 0 -> {
                Map<String, Object> created = records.createCase(by, Map.of(
                        "title", "Load " + Words.title(random) + " " + Digests.secret(),
                        "description", Words.text(random, 3)));
                caseNumber = (Integer) created.get("number");
                yield created;
            }
            case 1 -> {
                Map<String, Object> created =
                        records.createTask(by, caseNumber, Map.of("title", Words.title(random), "status", "Waiting"));
                task = (String) created.get("_id");
                yield created;
            }
            case 2 -> records.createLog(by, task, Map.of("message", Words.text(random, 2)));
            default -> records.attachToCase(by, caseNumber, "load.bin", "application/octet-stream",
                    Words.content(random, 1000 + random.nextInt(20_000)));
        };
        turn++;
        return made;
    }

    @Override
    public void close() {
        rate(0);
        timer.shutdown();
        try {
            timer.awaitTermination(1, TimeUnit.SECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
