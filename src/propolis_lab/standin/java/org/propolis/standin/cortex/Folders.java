package org.propolis.standin.cortex;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;
import org.propolis.standin.Settings;
import org.propolis.standin.web.Refused;

/** The folders in which analyzers work: {@code <job.directory>/cortex-job-<id>-<number>}. */
final class Folders {
    private final Path parent;
    private final boolean kept;

    private Folders(Path parent, boolean kept) {
        this.parent = parent;
        this.kept = kept;
    }

    /** Reads {@code job.directory} and {@code job.keepJobFolder}. */
    static Folders of(Settings settings) {
        return new Folders(
                Path.of(settings.text("job.directory").orElse(System.getProperty("java.io.tmpdir"))),
                settings.text("job.keepJobFolder").map(Boolean::parseBoolean).orElse(false));
    }

    /** What an analyzer finds when it begins, and what it leaves when it is done. */
    void work(String job, String input, byte[] attachment, String output) {
        try {
            Path folder = Files.createTempDirectory(parent, "cortex-job-" + job + "-");
            Path given = Files.createDirectories(folder.resolve("input"));
            Path made = Files.createDirectories(folder.resolve("output"));
            if (attachment.length > 0) {
                Files.write(given.resolve("attachment"), attachment);
            }
            Files.writeString(given.resolve("input.json"), input);
            Files.writeString(made.resolve("output.json"), output);
            if (!kept) {
                remove(folder);
            }
        } catch (IOException failed) {
            throw new Refused(500, "JobFolder", failed.toString());
        }
    }

    private static void remove(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
