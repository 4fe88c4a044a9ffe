package org.propolis.standin.files;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Attachments in a folder: {@code <location>/attachment/<sha256>}. */
public final class LocalFiles implements Files {
    private final Path folder;

    public LocalFiles(Path location) {
        folder = location.resolve(FOLDER);
    }

    @Override
    public void prepare() throws IOException {
        java.nio.file.Files.createDirectories(folder);
    }

    @Override
    public void write(String attachmentId, byte[] content, String contentType, String name) throws IOException {
        Path file = folder.resolve(attachmentId);
        if (java.nio.file.Files.exists(file)) {
            return;
        }
        // Written under another name first, so that a killed process never leaves half an attachment.
        Path part = java.nio.file.Files.createTempFile(folder, ".", ".part");
        try {
            java.nio.file.Files.write(part, content);
            java.nio.file.Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            java.nio.file.Files.deleteIfExists(part);
        }
    }

    @Override
    public byte[] read(String attachmentId) throws IOException {
        try {
            return java.nio.file.Files.readAllBytes(folder.resolve(attachmentId));
        } catch (NoSuchFileException missing) {
            throw new FileNotFoundException(attachmentId);
        }
    }

    @Override
    public void delete(String attachmentId) throws IOException {
        java.nio.file.Files.deleteIfExists(folder.resolve(attachmentId));
    }
}
