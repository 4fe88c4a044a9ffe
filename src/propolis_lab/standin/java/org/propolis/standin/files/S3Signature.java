package org.propolis.standin.files;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.propolis.standin.Digests;

/** Amazon's signature, version 4, for requests without a query. */
public final class S3Signature {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'");
    private final String accessKey;
    private final String secretKey;
    private final String region;

    public S3Signature(String accessKey, String secretKey, String region) {
        this.accessKey = accessKey;
        this.secretKey = secretKey;
        this.region = region;
    }

    /** Adds host, date, content hash and authorization to the headers (a sorted map with lower-case names). */
    public void sign(String method, URI uri, byte[] body, Map<String, String> headers) {
        String time = ZonedDateTime.now(ZoneOffset.UTC).format(TIME);
        String day = time.substring(0, 8);
        String hash = Digests.sha256(body);
        headers.put("host", uri.getAuthority());
        headers.put("x-amz-date", time);
        headers.put("x-amz-content-sha256", hash);
        StringBuilder lines = new StringBuilder();
        headers.forEach((name, value) -> lines.append(name).append(':').append(value.strip()).append('\n'));
        String signed = String.join(";", headers.keySet());
        String canonical = method + "\n" + uri.getRawPath() + "\n\n" + lines + "\n" + signed + "\n" + hash;
        String scope = day + "/" + region + "/s3/aws4_request";
        String toSign = "AWS4-HMAC-SHA256\n" + time + "\n" + scope + "\n"
                + Digests.sha256(canonical.getBytes(StandardCharsets.UTF_8));
        byte[] key = ("AWS4" + secretKey).getBytes(StandardCharsets.UTF_8);
        for (String part : new String[] {day, region, "s3", "aws4_request"}) {
            key = hmac(key, part);
        }
        headers.put("authorization", "AWS4-HMAC-SHA256 Credential=" + accessKey + "/" + scope
                + ",SignedHeaders=" + signed + ",Signature=" + Digests.hex(hmac(key, toSign)));
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
