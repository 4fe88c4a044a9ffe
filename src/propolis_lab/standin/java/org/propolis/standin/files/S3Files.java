package org.propolis.standin.files;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import org.propolis.standin.Settings;

/** Attachments in a bucket: {@code [folder/]attachment/<sha256>}; path-style requests. */
public final class S3Files implements Files {
    private final URI endpoint;
    private final String bucket;
    private final String prefix;
    private final S3Signature signature;
    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build();

    private S3Files(URI endpoint, String bucket, String prefix, S3Signature signature) {
        this.endpoint = endpoint;
        this.bucket = bucket;
        this.prefix = prefix;
        this.signature = signature;
    }

    /** Reads {@code storage.s3}; the names are those of TheHive's guide. */
    public static S3Files of(Settings settings) {
        String s3 = "storage.s3.";
        String folder = settings.text(s3 + "folder").orElse("").replaceAll("^/+|/+$", "");
        S3Signature signature = new S3Signature(
                settings.required(s3 + "aws.credentials.access-key-id", s3 + "access-key"),
                settings.required(s3 + "aws.credentials.secret-access-key", s3 + "secret-key"),
                settings.text(s3 + "aws.region.default-region", s3 + "region").orElse("us-east-1"));
        return new S3Files(
                URI.create(settings.required(s3 + "endpoint-url", s3 + "endpoint").replaceAll("/+$", "")),
                settings.required(s3 + "bucket"),
                (folder.isEmpty() ? "" : folder + "/") + FOLDER + "/",
                signature);
    }

    @Override
    public void prepare() throws IOException {
        int status = send("HEAD", "", new byte[0], Map.of()).statusCode();
        if (status == 404) {
            expect(send("PUT", "", new byte[0], Map.of()), "create bucket");
        } else if (status >= 300) {
            throw new IOException("bucket " + bucket + ": HTTP " + status);
        }
    }

    @Override
    public void write(String attachmentId, byte[] content, String contentType, String name) throws IOException {
        if (send("HEAD", prefix + attachmentId, new byte[0], Map.of()).statusCode() == 200) {
            return;
        }
        Map<String, String> headers = Map.of(
                "content-type", contentType,
                "x-amz-meta-filename", URLEncoder.encode(name, StandardCharsets.UTF_8));
        expect(send("PUT", prefix + attachmentId, content, headers), "put");
    }

    @Override
    public byte[] read(String attachmentId) throws IOException {
        HttpResponse<byte[]> answer = send("GET", prefix + attachmentId, new byte[0], Map.of());
        if (answer.statusCode() == 404) {
            throw new FileNotFoundException(attachmentId);
        }
        return expect(answer, "get");
    }

    @Override
    public void delete(String attachmentId) throws IOException {
        expect(send("DELETE", prefix + attachmentId, new byte[0], Map.of()), "delete");
    }

    private static byte[] expect(HttpResponse<byte[]> answer, String what) throws IOException {
        if (answer.statusCode() >= 300) {
            throw new IOException(what + ": HTTP " + answer.statusCode() + " "
                    + new String(answer.body(), StandardCharsets.UTF_8));
        }
        return answer.body();
    }

    private HttpResponse<byte[]> send(String method, String key, byte[] body, Map<String, String> more)
            throws IOException {
        URI uri = URI.create(endpoint + "/" + bucket + (key.isEmpty() ? "" : "/" + key));
        Map<String, String> headers = new TreeMap<>(more);
        signature.sign(method, uri, body, headers);
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(60))
                .method(method, body.length == 0 && !method.equals("PUT")
                        ? HttpRequest.BodyPublishers.noBody()
                        : HttpRequest.BodyPublishers.ofByteArray(body));
        headers.forEach((name, value) -> {
            if (!name.equals("host")) { // the client sets it itself
                request.header(name, value);
            }
        });
        try {
            return client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", interrupted);
        }
    }
}
