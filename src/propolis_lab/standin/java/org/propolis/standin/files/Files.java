package org.propolis.standin.files;

import java.io.IOException;

/** Where the bytes of attachments lie, named by the SHA-256 of their content. Bytes are never overwritten. */
public interface Files {
    /** Folder, or first part of the key, of every attachment. */
    String FOLDER = "attachment";

    /** Stores the content unless it is there already. */
    void write(String attachmentId, byte[] content, String contentType, String name) throws IOException;

    /** The content; throws {@link java.io.FileNotFoundException} where there is none. */
    byte[] read(String attachmentId) throws IOException;

    /** Removes the content, if it is there. */
    void delete(String attachmentId) throws IOException;

    /** Makes the folder or the bucket ready; throws while the store can't be reached. */
    void prepare() throws IOException;
}
