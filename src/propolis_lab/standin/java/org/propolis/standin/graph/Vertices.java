package org.propolis.standin.graph;

import java.util.ArrayList;
import java.util.Date;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.tinkerpop.gremlin.structure.Direction;
import org.apache.tinkerpop.gremlin.structure.Vertex;
import org.janusgraph.core.JanusGraphTransaction;
import org.janusgraph.core.JanusGraphVertex;
import org.janusgraph.core.JanusGraphVertexProperty;
import org.propolis.standin.web.NotFound;

/** Making, finding and describing vertices. Ids are shown as {@code ~123}. */
public final class Vertices {
    /** Never shown. */
    private static final List<String> SECRETS = List.of("password", "apikey");

    private Vertices() {}

    /** A new vertex with the properties that every vertex has, and the given ones; nulls are left out. */
    public static JanusGraphVertex add(JanusGraphTransaction tx, String label, String by, Date at, Map<String, ?> properties) {
        JanusGraphVertex vertex = tx.addVertex(label);
        vertex.property("_label", label);
        vertex.property("_createdBy", by);
        vertex.property("_createdAt", at);
        properties.forEach((name, value) -> {
            if (value instanceof Iterable<?> many) {
                many.forEach(one -> vertex.property(name, one));
            } else if (value != null) {
                vertex.property(name, value);
            }
        });
        return vertex;
    }

    public static Optional<JanusGraphVertex> byKey(JanusGraphTransaction tx, String label, String key, Object value) {
        Iterator<JanusGraphVertex> found =
                tx.query().has("_label", label).has(key, value).vertices().iterator();
        return found.hasNext() ? Optional.of(found.next()) : Optional.empty();
    }

    public static JanusGraphVertex caseByNumber(JanusGraphTransaction tx, int number) {
        return byKey(tx, Names.CASE, "number", number).orElseThrow(() -> new NotFound("case " + number));
    }

    /** The vertex of an id as shown; throws {@link NotFound} if there is none or it has another label. */
    public static JanusGraphVertex byId(JanusGraphTransaction tx, String label, String id) {
        long number;
        try {
            number = Long.parseLong(id.replaceFirst("^~", ""));
        } catch (NumberFormatException malformed) {
            throw new NotFound(label + " " + id);
        }
        JanusGraphVertex vertex;
        try {
            vertex = tx.getVertex(number);
        } catch (IllegalArgumentException impossible) { // no vertex can have such an id
            throw new NotFound(label + " " + id);
        }
        if (vertex == null || !vertex.label().equals(label)) {
            throw new NotFound(label + " " + id);
        }
        return vertex;
    }

    /** All vertices of a label, as the database (not the index server) knows them. */
    public static List<JanusGraphVertex> all(JanusGraphTransaction tx, String label) {
        List<JanusGraphVertex> found = new ArrayList<>();
        tx.query().has("_label", label).vertices().forEach(found::add);
        return found;
    }

    public static String id(Vertex vertex) {
        return "~" + vertex.id();
    }

    /** The values of one key of many vertices, read from the database together. */
    public static Map<JanusGraphVertex, Object> values(JanusGraphTransaction tx, List<JanusGraphVertex> vertices, String key) {
        Map<JanusGraphVertex, Object> values = new LinkedHashMap<>();
        if (!vertices.isEmpty()) {
            tx.multiQuery(vertices).keys(key).properties().forEach((vertex, properties) ->
                    properties.forEach(property -> values.put(vertex, property.value())));
        }
        return values;
    }

    /** Descriptions of many vertices, in their order, read from the database together. */
    public static List<Map<String, Object>> describe(JanusGraphTransaction tx, List<JanusGraphVertex> vertices) {
        List<Map<String, Object>> described = new ArrayList<>();
        if (!vertices.isEmpty()) {
            Map<JanusGraphVertex, Iterable<JanusGraphVertexProperty>> properties = tx.multiQuery(vertices).properties();
            vertices.forEach(vertex -> described.add(describe(vertex, properties.get(vertex))));
        }
        return described;
    }

    public static Map<String, Object> describe(JanusGraphVertex vertex) {
        return describe(vertex, vertex.query().properties());
    }

    private static Map<String, Object> describe(JanusGraphVertex vertex, Iterable<JanusGraphVertexProperty> properties) {
        Map<String, Object> description = new TreeMap<>();
        description.put("_id", id(vertex));
        for (JanusGraphVertexProperty<?> property : properties) {
            String name = property.key();
            if (name.equals("tags") || name.equals("hashes")) {
                @SuppressWarnings("unchecked")
                TreeSet<Object> values = (TreeSet<Object>) description.computeIfAbsent(name, key -> new TreeSet<>());
                values.add(property.value());
            } else if (!SECRETS.contains(name)) {
                description.put(name, property.value());
            }
        }
        return description;
    }

    /** Descriptions of the vertices at the other ends of edges, in a stable order. */
    public static List<Map<String, Object>> children(JanusGraphTransaction tx, JanusGraphVertex vertex, String... edges) {
        return describe(tx, neighbours(vertex, edges));
    }

    public static List<JanusGraphVertex> neighbours(JanusGraphVertex vertex, String... edges) {
        List<JanusGraphVertex> found = new ArrayList<>();
        vertex.query().direction(Direction.OUT).labels(edges).vertices().forEach(found::add);
        found.sort(java.util.Comparator.comparingLong(other -> (Long) other.id()));
        return found;
    }
}
