package org.propolis.standin.graph;

import java.util.Date;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;
import org.apache.tinkerpop.gremlin.structure.Vertex;
import org.janusgraph.core.Cardinality;
import org.janusgraph.core.JanusGraph;
import org.janusgraph.core.PropertyKey;
import org.janusgraph.core.schema.ConsistencyModifier;
import org.janusgraph.core.schema.JanusGraphIndex;
import org.janusgraph.core.schema.JanusGraphManagement;
import org.janusgraph.core.schema.Mapping;
import org.janusgraph.core.schema.SchemaAction;
import org.janusgraph.core.schema.SchemaStatus;
import org.janusgraph.diskstorage.keycolumnvalue.scan.ScanJobFuture;
import org.janusgraph.graphdb.database.management.ManagementSystem;

/** Property keys, labels and indices of the graph, made once, in one commit. */
public final class Schema {
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

    /** Makes the schema unless it is there; returns the name of the mixed index in use, which was asked something. */
    public static String ensure(JanusGraph graph, boolean rebuildIndex) throws InterruptedException {
        manage(graph, management -> {
            if (!management.containsGraphIndex(Names.MIXED_INDEX)) {
                make(management);
            }
            return null;
        });
        if (graph.variables().get("thehive_version").isEmpty()) {
            graph.variables().set("thehive_version", VERSION);
        }
        String index = manage(graph, Schema::current);
        try {
            graph.indexQuery(index, "v.\"_label\":" + Names.ORGANISATION).vertexTotals();
        } catch (RuntimeException failure) {
            if (!rebuildIndex || !isMissingIndex(failure)) {
                throw failure;
            }
            return rebuild(graph, index);
        } finally {
            graph.tx().rollback();
        }
        return index;
    }

    /** Whether the index server said that there is no such index, or that it is closed. */
    public static boolean isMissingIndex(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            String text = String.valueOf(cause.getMessage());
            if (text.contains("index_not_found_exception") || text.contains("index_closed_exception")) {
                return true;
            }
        }
        return false;
    }

    /** The last mixed index that is enabled: each rebuild makes a new one. */
    private static String current(JanusGraphManagement management) {
        String found = Names.MIXED_INDEX;
        for (JanusGraphIndex index : management.getGraphIndexes(Vertex.class)) {
            boolean enabled = index.isMixedIndex()
                    && index.getIndexStatus(index.getFieldKeys()[0]) == SchemaStatus.ENABLED;
            if (enabled && number(index.name()) > number(found)) {
                found = index.name();
            }
        }
        return found;
    }

    private static int number(String index) {
        String digits = index.substring(Names.MIXED_INDEX.length());
        return digits.isEmpty() ? 0 : Integer.parseInt(digits);
    }

    /** Makes a new mixed index of all that the database holds, under the next name, and gives the old one up. */
    private static String rebuild(JanusGraph graph, String old) throws InterruptedException {
        String name = Names.MIXED_INDEX + (number(old) + 1);
        // Instances that were killed would never acknowledge the new index: at its start nobody else uses the graph.
        manage(graph, management -> {
            management.getOpenInstances().stream()
                    .filter(instance -> !instance.endsWith("(current)")).forEach(management::forceCloseInstance);
            return null;
        });
        manage(graph, management -> {
            mixed(management, name);
            return null;
        });
        await(graph, name, SchemaStatus.REGISTERED, SchemaStatus.ENABLED);
        change(graph, name, SchemaAction.REINDEX);
        change(graph, old, SchemaAction.DISABLE_INDEX);
        await(graph, name, SchemaStatus.ENABLED);
        await(graph, old, SchemaStatus.DISABLED);
        return name;
    }

    private static void change(JanusGraph graph, String index, SchemaAction action) throws InterruptedException {
        ScanJobFuture job = manage(graph, management -> management.updateIndex(management.getGraphIndex(index), action));
        try {
            if (job != null) {
                job.get();
            }
        } catch (ExecutionException failure) {
            throw new IllegalStateException(action + " of " + index, failure);
        }
    }

    private static void await(JanusGraph graph, String index, SchemaStatus... wanted) throws InterruptedException {
        if (!ManagementSystem.awaitGraphIndexStatus(graph, index).status(wanted).call().getSucceeded()) {
            throw new IllegalStateException("the index " + index + " does not become " + wanted[0]);
        }
    }

    private static <T> T manage(JanusGraph graph, Function<JanusGraphManagement, T> work) {
        graph.tx().rollback();
        JanusGraphManagement management = graph.openManagement();
        try {
            T result = work.apply(management);
            management.commit();
            return result;
        } finally {
            if (management.isOpen()) {
                management.rollback();
            }
        }
    }

    private static void mixed(JanusGraphManagement management, String name) {
        JanusGraphManagement.IndexBuilder mixed = management.buildIndex(name, Vertex.class);
        TEXTS.forEach(text -> mixed.addKey(key(management, text, String.class), Mapping.TEXT.asParameter()));
        STRINGS.forEach(text -> mixed.addKey(key(management, text, String.class), Mapping.STRING.asParameter()));
        INTEGERS.forEach(number -> mixed.addKey(key(management, number, Integer.class)));
        DATES.forEach(date -> mixed.addKey(key(management, date, Date.class)));
        mixed.addKey(key(management, "size", Long.class));
        mixed.addKey(key(management, "ioc", Boolean.class));
        mixed.addKey(set(management, "tags"), Mapping.STRING.asParameter());
        mixed.addKey(set(management, "hashes"), Mapping.STRING.asParameter());
        mixed.buildMixedIndex(Names.INDEX_BACKEND);
    }

    private static void make(JanusGraphManagement management) {
        mixed(management, Names.MIXED_INDEX);
        SECRETS.forEach(name -> key(management, name, String.class));

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
        return management.containsPropertyKey(name)
                ? management.getPropertyKey(name)
                : management.makePropertyKey(name).dataType(type).cardinality(Cardinality.SINGLE).make();
    }

    private static PropertyKey set(JanusGraphManagement management, String name) {
        return management.containsPropertyKey(name)
                ? management.getPropertyKey(name)
                : management.makePropertyKey(name).dataType(String.class).cardinality(Cardinality.SET).make();
    }

    private static JanusGraphManagement.IndexBuilder composite(JanusGraphManagement management, String... keys) {
        JanusGraphManagement.IndexBuilder builder = management.buildIndex("by-" + String.join("-", keys), Vertex.class);
        for (String key : keys) {
            builder.addKey(management.getPropertyKey(key));
        }
        return builder;
    }
}
