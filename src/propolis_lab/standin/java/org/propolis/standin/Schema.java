package org.propolis.standin;

import java.util.Date;
import java.util.List;
import org.apache.tinkerpop.gremlin.structure.Vertex;
import org.janusgraph.core.Cardinality;
import org.janusgraph.core.JanusGraph;
import org.janusgraph.core.PropertyKey;
import org.janusgraph.core.schema.ConsistencyModifier;
import org.janusgraph.core.schema.JanusGraphManagement;
import org.janusgraph.core.schema.Mapping;

/** Property keys, labels and indices of the graph, made once, in one commit. */
final class Schema {
    /** What {@code thehive_version} holds in the graph's variables. */
    private static final int VERSION = 115;

    private static final List<String> TEXTS = List.of("title", "description", "message");
    private static final List<String> STRINGS = List.of(
            "_label", "_createdBy", "_updatedBy", "name", "login", "status", "type", "source", "sourceRef", "group",
            "dataType", "data", "contentType", "attachmentId", "action", "objectId", "objectType", "requestId");
    private static final List<String> SECRETS = List.of("password", "apikey", "details");
    private static final List<String> INTEGERS = List.of("number", "severity", "tlp", "pap");
    private static final List<String> DATES = List.of("_createdAt", "_updatedAt", "startDate", "date");

    private Schema() {}

    /** Makes the schema unless it is there. */
    static void ensure(JanusGraph graph) {
        JanusGraphManagement management = graph.openManagement();
        try {
            if (!management.containsGraphIndex(Names.MIXED_INDEX)) {
                make(management);
                management.commit();
            }
        } finally {
            if (management.isOpen()) {
                management.rollback();
            }
        }
        if (graph.variables().get("thehive_version").isEmpty()) {
            graph.variables().set("thehive_version", VERSION);
        }
    }

    private static void make(JanusGraphManagement management) {
        JanusGraphManagement.IndexBuilder mixed = management.buildIndex(Names.MIXED_INDEX, Vertex.class);
        TEXTS.forEach(name -> mixed.addKey(key(management, name, String.class), Mapping.TEXT.asParameter()));
        STRINGS.forEach(name -> mixed.addKey(key(management, name, String.class), Mapping.STRING.asParameter()));
        INTEGERS.forEach(name -> mixed.addKey(key(management, name, Integer.class)));
        DATES.forEach(name -> mixed.addKey(key(management, name, Date.class)));
        mixed.addKey(key(management, "size", Long.class));
        mixed.addKey(key(management, "ioc", Boolean.class));
        mixed.addKey(set(management, "tags"), Mapping.STRING.asParameter());
        mixed.addKey(set(management, "hashes"), Mapping.STRING.asParameter());
        SECRETS.forEach(name -> key(management, name, String.class));
        mixed.buildMixedIndex(Names.INDEX_BACKEND);

        for (String label : Names.VERTICES) {
            management.makeVertexLabel(label).make();
        }
        for (String label : Names.EDGES) {
            management.makeEdgeLabel(label).make();
        }
        composite(management, "_label").buildCompositeIndex();
        composite(management, "_label", "name").buildCompositeIndex();
        composite(management, "_label", "number").unique().buildCompositeIndex();
        composite(management, "_label", "attachmentId").buildCompositeIndex();
        composite(management, "_label", "apikey").buildCompositeIndex();
        // Rarely written, so the price of JanusGraph's locks is paid only here.
        management.setConsistency(
                composite(management, "_label", "login").unique().buildCompositeIndex(), ConsistencyModifier.LOCK);
    }

    private static PropertyKey key(JanusGraphManagement management, String name, Class<?> type) {
        return management.makePropertyKey(name).dataType(type).cardinality(Cardinality.SINGLE).make();
    }

    private static PropertyKey set(JanusGraphManagement management, String name) {
        return management.makePropertyKey(name).dataType(String.class).cardinality(Cardinality.SET).make();
    }

    private static JanusGraphManagement.IndexBuilder composite(JanusGraphManagement management, String... keys) {
        JanusGraphManagement.IndexBuilder builder = management.buildIndex("by-" + String.join("-", keys), Vertex.class);
        for (String key : keys) {
            builder.addKey(management.getPropertyKey(key));
        }
        return builder;
    }
}
