package org.propolis.standin;

import java.io.File;
import java.io.IOException;
import java.util.List;
import java.util.jar.JarFile;

/** Loads the classes that a start needs, so that the JVM can archive them and later starts are faster. */
public final class Rehearsal {
    /** Packages of which a start with Cassandra and an index uses a good part. */
    private static final List<String> PACKAGES = List.of(
            "org/propolis/", "org/janusgraph/", "com/datastax/oss/driver/", "com/typesafe/config/", "ch/qos/logback/",
            "org/apache/tinkerpop/gremlin/structure/", "org/apache/tinkerpop/gremlin/process/", "io/netty/buffer/",
            "io/netty/channel/", "io/netty/util/", "io/netty/bootstrap/", "org/apache/http/", "org/elasticsearch/",
            "com/fasterxml/jackson/", "io/vavr/", "com/google/common/", "org/apache/commons/configuration2/");

    private Rehearsal() {}

    public static void main(String[] arguments) throws IOException {
        ClassLoader loader = Rehearsal.class.getClassLoader();
        int loaded = 0;
        for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
            try (JarFile jar = new JarFile(path)) {
                for (String name : jar.stream().map(entry -> entry.getName()).toList()) {
                    if (name.endsWith(".class") && PACKAGES.stream().anyMatch(name::startsWith) && load(name, loader)) {
                        loaded++;
                    }
                }
            }
        }
        if (loaded == 0) {
            throw new IllegalStateException("no class could be loaded");
        }
    }

    private static boolean load(String file, ClassLoader loader) {
        try {
            Class.forName(file.substring(0, file.length() - ".class".length()).replace('/', '.'), false, loader);
            return true;
        } catch (ClassNotFoundException | LinkageError optional) {
            return false; // it needs a library that isn't there, nor needed
        }
    }
}
