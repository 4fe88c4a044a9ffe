package org.propolis.standin.web;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/** An HTTP answer. */
public record Response(int status, String contentType, byte[] body, Map<String, String> headers) {
    public static Response json(int status, Object value) {
        return new Response(status, "application/json", Json.write(value).getBytes(StandardCharsets.UTF_8), Map.of());
    }

    public static Response ok(Object value) {
        return json(200, value);
    }

    public static Response created(Object value) {
        return json(201, value);
    }

    public static Response text(String text) {
        return new Response(200, "text/plain", text.getBytes(StandardCharsets.UTF_8), Map.of());
    }

    public static Response empty() {
        return new Response(204, null, new byte[0], Map.of());
    }

    public static Response error(int status, String type, String message) {
        return json(status, Map.of("type", type, "message", String.valueOf(message)));
    }
}
