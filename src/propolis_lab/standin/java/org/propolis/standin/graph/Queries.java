package org.propolis.standin.graph;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.janusgraph.core.JanusGraphTransaction;
import org.janusgraph.core.JanusGraphVertex;

/** Reading: lists and counts from the database, full text from the index. */
public final class Queries {
    /** What one full-text search considers at most; Elasticsearch's own limit of a result window. */
    private static final int SEARCH_LIMIT = 10_000;
    private final Database database;

    public Queries(Database database) {
        this.database = database;
    }

    /** Do the database and the index answer, and does the index know what the database has? */
    public boolean healthy() {
        try {
            return database.read(tx ->
                    tx.query().has("_label", Names.ORGANISATION).limit(1).vertices().iterator().hasNext()
                    && tx.indexQuery(database.index(), "v.\"_label\":" + Names.ORGANISATION).vertexTotals() > 0);
        } catch (RuntimeException down) {
            return false;
        }
    }

    /** Cases in the order of their numbers. */
    public Map<String, Object> cases(int from, int size) {
        return database.read(tx -> {
            Map<JanusGraphVertex, Object> numbers = Vertices.values(tx, Vertices.all(tx, Names.CASE), "number");
            List<JanusGraphVertex> sorted = new ArrayList<>(numbers.keySet());
            sorted.sort(Comparator.comparing(vertex -> (Integer) numbers.get(vertex)));
            return page("cases", tx, sorted, from, size);
        });
    }

    /** Vertices of one label in the order of their ids. */
    public Map<String, Object> list(String name, String label, int from, int size) {
        return database.read(tx -> {
            List<JanusGraphVertex> sorted = Vertices.all(tx, label);
            sorted.sort(Comparator.comparingLong(vertex -> (Long) vertex.id()));
            return page(name, tx, sorted, from, size);
        });
    }

    private static Map<String, Object> page(
            String name, JanusGraphTransaction tx, List<JanusGraphVertex> all, int from, int size) {
        int begin = Math.min(from, all.size());
        Map<String, Object> page = new LinkedHashMap<>();
        page.put("total", all.size());
        page.put(name, Vertices.describe(tx, all.subList(begin, Math.min(begin + size, all.size()))));
        return page;
    }

    /** One case with all that hangs on it. */
    public Map<String, Object> oneCase(int number) {
        return database.read(tx -> {
            JanusGraphVertex found = Vertices.caseByNumber(tx, number);
            Map<String, Object> described = Vertices.describe(found);
            List<Map<String, Object>> tasks = new ArrayList<>();
            for (JanusGraphVertex task : Vertices.neighbours(found, Names.CASE_TASK)) {
                Map<String, Object> one = Vertices.describe(task);
                one.put("logs", Vertices.children(tx, task, Names.TASK_LOG));
                tasks.add(one);
            }
            described.put("tasks", tasks);
            described.put("observables", Vertices.children(tx, found, Names.CASE_OBSERVABLE));
            described.put("attachments", Vertices.children(tx, found, Names.CASE_ATTACHMENT));
            return described;
        });
    }

    /** How many vertices of each label there are. */
    public Map<String, Object> counts() {
        return database.read(tx -> {
            Map<String, Object> counts = new TreeMap<>();
            for (String label : Names.VERTICES) {
                counts.put(label, Vertices.all(tx, label).size());
            }
            return counts;
        });
    }

    /** Vertices in whose title, description or message all the words occur, asked of the index alone. */
    public Map<String, Object> search(String words, int from, int size) {
        String all = String.join(" AND ", words.toLowerCase().replaceAll("[^\\p{L}\\p{N}]+", " ").strip().split(" "));
        if (all.isEmpty()) {
            throw new IllegalArgumentException("q: no words to search for");
        }
        List<String> fields = new ArrayList<>();
        for (String field : new String[] {"title", "description", "message"}) {
            fields.add("v.\"" + field + "\":(" + all + ")");
        }
        String query = String.join(" OR ", fields);
        return database.read(tx -> {
            List<JanusGraphVertex> hits = tx.indexQuery(database.index(), query).limit(SEARCH_LIMIT).vertexStream()
                    .map(result -> result.getElement())
                    .sorted(Comparator.comparingLong(vertex -> (Long) vertex.id())).toList();
            Map<String, Object> answer = page("hits", tx, hits, from, size);
            answer.put("total", tx.indexQuery(database.index(), query).vertexTotals());
            return answer;
        });
    }
}
