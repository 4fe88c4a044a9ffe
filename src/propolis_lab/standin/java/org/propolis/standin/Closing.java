package org.propolis.standin;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import org.propolis.standin.web.Server;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Closes in an orderly way what was opened, when the process is asked to end. */
public final class Closing {
    private static final Logger LOG = LoggerFactory.getLogger(Closing.class);
    private final Deque<AutoCloseable> opened = new ArrayDeque<>();
    private volatile int status;

    public synchronized <T extends AutoCloseable> T add(T resource) {
        opened.push(resource);
        return resource;
    }

    /** The process will end with this. */
    public void failed(int exitStatus) {
        status = exitStatus;
    }

    /** Server and load first, as they use the rest; then the process ends, with 0 if all went well. */
    public void run() {
        List<AutoCloseable> order;
        synchronized (this) {
            order = new java.util.ArrayList<>(opened);
        }
        order.sort(java.util.Comparator.comparingInt(resource ->
                resource instanceof Server ? 0 : resource instanceof Load ? 1 : resource instanceof Acknowledgements ? 2 : 3));
        for (AutoCloseable resource : order) {
            try {
                resource.close();
            } catch (Exception failure) {
                LOG.warn("closing {}", resource.getClass().getSimpleName(), failure);
                status = 1;
            }
        }
        Runtime.getRuntime().halt(status);
    }
}
