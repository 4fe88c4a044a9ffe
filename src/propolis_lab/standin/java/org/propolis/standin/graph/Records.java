package org.propolis.standin.graph;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.janusgraph.core.JanusGraphTransaction;
import org.janusgraph.core.JanusGraphVertex;
import org.propolis.standin.Digests;
import org.propolis.standin.files.Files;
import org.propolis.standin.web.NotFound;

/** Writing cases, alerts, tasks, logs, observables and attachments. Every write leaves an audit. */
public final class Records {
    private final Database database;
    private final Files files;
    private final AtomicInteger lastNumber;

    public Records(Database database, Files files) {
        this.database = database;
        this.files = files;
        this.lastNumber = new AtomicInteger(database.read(tx -> Vertices
                .values(tx, Vertices.all(tx, Names.CASE), "number").values().stream()
                .mapToInt(Integer.class::cast).max().orElse(0)));
    }

    /** Takes the next so many case numbers; returns the first. */
    public int takeNumbers(int count) {
        return lastNumber.getAndAdd(count) + 1;
    }

    public Map<String, Object> createCase(String by, Map<String, ?> given) {
        return database.write(tx -> Vertices.describe(addCase(tx, by, new Date(), takeNumbers(1), given)));
    }

    public JanusGraphVertex addCase(JanusGraphTransaction tx, String by, Date at, int number, Map<String, ?> given) {
        Map<String, Object> all = new LinkedHashMap<>(
                Map.of("severity", 2, "tlp", 2, "pap", 2, "status", "New", "startDate", at));
        all.putAll(given);
        all.put("number", number);
        JanusGraphVertex made = Vertices.add(tx, Names.CASE, by, at, all);
        organisation(tx).addEdge(Names.ORGANISATION_CASE, made);
        audit(tx, by, at, "create", made);
        return made;
    }

    public Map<String, Object> updateCase(String by, int number, Map<String, ?> changes) {
        return database.write(tx -> {
            JanusGraphVertex found = Vertices.caseByNumber(tx, number);
            changes.forEach((name, value) -> found.property(name, value));
            Date now = new Date();
            found.property("_updatedBy", by);
            found.property("_updatedAt", now);
            audit(tx, by, now, "update", found);
            return Vertices.describe(found);
        });
    }

    /** Removes a case with its tasks, logs, observables and attachments. */
    public void deleteCase(String by, int number) {
        Set<String> orphans = new TreeSet<>();
        database.write(tx -> {
            JanusGraphVertex found = Vertices.caseByNumber(tx, number);
            audit(tx, by, new Date(), "delete", found);
            removeTree(tx, found, orphans);
            deleteFiles(tx, orphans);
            return null;
        });
    }

    private static void removeTree(JanusGraphTransaction tx, JanusGraphVertex vertex, Set<String> attachmentIds) {
        Vertices.neighbours(vertex, Names.CASE_TASK, Names.TASK_LOG, Names.CASE_OBSERVABLE,
                Names.CASE_ATTACHMENT, Names.LOG_ATTACHMENT, Names.OBSERVABLE_ATTACHMENT)
                .forEach(child -> removeTree(tx, child, attachmentIds));
        if (vertex.label().equals(Names.ATTACHMENT)) {
            attachmentIds.add(vertex.value("attachmentId"));
        }
        vertex.remove();
    }

    /** Adds a task (to a case), an observable (to a case) or a log (to a task). */
    public JanusGraphVertex addChild(
            JanusGraphTransaction tx, String by, Date at, JanusGraphVertex parent, String edge, String label, Map<String, ?> given) {
        JanusGraphVertex made = Vertices.add(tx, label, by, at, given);
        parent.addEdge(edge, made);
        audit(tx, by, at, "create", made);
        return made;
    }

    public Map<String, Object> createTask(String by, int number, Map<String, ?> given) {
        return database.write(tx -> Vertices.describe(addChild(
                tx, by, new Date(), Vertices.caseByNumber(tx, number), Names.CASE_TASK, Names.TASK, given)));
    }

    public Map<String, Object> createObservable(String by, int number, Map<String, ?> given) {
        return database.write(tx -> Vertices.describe(addChild(
                tx, by, new Date(), Vertices.caseByNumber(tx, number), Names.CASE_OBSERVABLE, Names.OBSERVABLE, given)));
    }

    public Map<String, Object> createLog(String by, String task, Map<String, ?> given) {
        return database.write(tx -> Vertices.describe(addChild(
                tx, by, new Date(), Vertices.byId(tx, Names.TASK, task), Names.TASK_LOG, Names.LOG, given)));
    }

    /** A new alert; linked to a case where a number is given. */
    public Map<String, Object> createAlert(String by, Optional<Integer> number, Map<String, ?> given) {
        return database.write(tx -> {
            Date now = new Date();
            JanusGraphVertex alert = addAlert(tx, by, now, given);
            number.ifPresent(some -> alert.addEdge(Names.ALERT_CASE, Vertices.caseByNumber(tx, some)));
            return Vertices.describe(alert);
        });
    }

    public JanusGraphVertex addAlert(JanusGraphTransaction tx, String by, Date at, Map<String, ?> given) {
        JanusGraphVertex alert = Vertices.add(tx, Names.ALERT, by, at, given);
        alert.addEdge(Names.ALERT_ORGANISATION, organisation(tx));
        audit(tx, by, at, "create", alert);
        return alert;
    }

    public Map<String, Object> attachToCase(String by, int number, String name, String contentType, byte[] content) {
        return database.write(tx -> Vertices.describe(attach(
                tx, by, new Date(), Vertices.caseByNumber(tx, number), Names.CASE_ATTACHMENT, name, contentType, content)));
    }

    /** Stores the file first; only then may the vertex be committed. */
    public JanusGraphVertex attach(
            JanusGraphTransaction tx, String by, Date at, JanusGraphVertex parent, String edge,
            String name, String contentType, byte[] content) {
        String id = Digests.sha256(content);
        try {
            files.write(id, content, contentType, name);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        JanusGraphVertex made = Vertices.add(tx, Names.ATTACHMENT, by, at, Map.of(
                "attachmentId", id, "name", name, "size", (long) content.length, "contentType", contentType,
                "hashes", List.of(id, Digests.hash("SHA-1", content), Digests.hash("MD5", content))));
        parent.addEdge(edge, made);
        return made;
    }

    public void deleteAttachment(String by, String id) {
        database.write(tx -> {
            JanusGraphVertex found = attachment(tx, id);
            String attachmentId = found.value("attachmentId");
            audit(tx, by, new Date(), "delete", found);
            found.remove();
            deleteFiles(tx, Set.of(attachmentId));
            return null;
        });
    }

    /** An attachment by its vertex id, or the first with this content hash. */
    public static JanusGraphVertex attachment(JanusGraphTransaction tx, String id) {
        return id.matches("[0-9a-f]{64}")
                ? Vertices.byKey(tx, Names.ATTACHMENT, "attachmentId", id).orElseThrow(() -> new NotFound("attachment " + id))
                : Vertices.byId(tx, Names.ATTACHMENT, id);
    }

    public byte[] content(JanusGraphVertex attachment) throws IOException {
        return files.read(attachment.value("attachmentId"));
    }

    /** Deletes those files that no attachment refers to any more; before the commit, as TheHive does. */
    private void deleteFiles(JanusGraphTransaction tx, Set<String> attachmentIds) {
        for (String id : attachmentIds) {
            if (Vertices.byKey(tx, Names.ATTACHMENT, "attachmentId", id).isEmpty()) {
                try {
                    files.delete(id);
                } catch (IOException failure) {
                    throw new UncheckedIOException(failure);
                }
            }
        }
    }

    private void audit(JanusGraphTransaction tx, String by, Date at, String action, JanusGraphVertex about) {
        JanusGraphVertex audit = Vertices.add(tx, Names.AUDIT, by, at, Map.of(
                "action", action, "objectType", about.label(), "objectId", Vertices.id(about),
                "requestId", UUID.nameUUIDFromBytes((action + about.id() + at.getTime()).getBytes()).toString()));
        if (!action.equals("delete")) {
            audit.addEdge(Names.AUDITED, about);
        }
        Vertices.byKey(tx, Names.USER, "login", by).ifPresent(user -> audit.addEdge(Names.AUDIT_USER, user));
    }

    private static JanusGraphVertex organisation(JanusGraphTransaction tx) {
        return Vertices.byKey(tx, Names.ORGANISATION, "name", "demo").orElseThrow(() -> new NotFound("organisation demo"));
    }
}
