package org.propolis.standin;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.propolis.standin.graph.Records;
import org.propolis.standin.web.Json;

/** One JSON line for every write that was committed and answered; in the file before the answer is sent. */
public final class Acknowledgements implements AutoCloseable {
    private final FileChannel file;

    /** Appends to the file; without one nothing is recorded. */
    public Acknowledgements(Optional<Path> path) throws IOException {
        file = path.isEmpty() ? null : FileChannel.open(
                path.get(),
                Set.of(StandardOpenOption.CREATE, StandardOpenOption.APPEND),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    }

    /** Records what was written: the label and those properties by which it can be found again. */
    public synchronized void add(Map<String, ?> written) {
        if (file == null) {
            return;
        }
        Map<String, Object> line = new TreeMap<>();
        line.put("time", System.currentTimeMillis());
        line.put("label", written.get("_label"));
        line.put("id", written.get("_id"));
        for (String key : new String[] {"number", "title", "message", "attachmentId", "name", "size", "data", "sourceRef"}) {
            if (written.get(key) != null) {
                line.put(key, written.get(key));
            }
        }
        try {
            ByteBuffer bytes = ByteBuffer.wrap((Json.write(line) + "\n").getBytes(StandardCharsets.UTF_8));
            while (bytes.hasRemaining()) {
                file.write(bytes);
            }
            file.force(false);
        } catch (IOException full) {
            throw new UncheckedIOException("acknowledgements can't be written", full);
        }
    }

    @Override
    public synchronized void close() throws IOException {
        if (file != null) {
            file.close();
        }
    }
}
