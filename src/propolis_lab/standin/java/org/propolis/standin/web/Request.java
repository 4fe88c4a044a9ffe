package org.propolis.standin.web;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** One HTTP request: the parts of its path that vary, its query, headers and body, and who sent it. */
public final class Request {
    /** Bodies are held in memory. */
    private static final int BODY_LIMIT = 64 << 20;
    private final HttpExchange exchange;
    private final List<String> parts;
    private final String login;

    Request(HttpExchange exchange, List<String> parts, String login) {
        this.exchange = exchange;
        this.parts = parts;
        this.login = login;
    }

    public String login() {
        return login;
    }

    public String part(int index) {
        return parts.get(index);
    }

    public int number(int index) {
        try {
            return Integer.parseInt(parts.get(index));
        } catch (NumberFormatException malformed) {
            throw new NotFound(parts.get(index));
        }
    }

    public Optional<String> header(String name) {
        return Optional.ofNullable(exchange.getRequestHeaders().getFirst(name));
    }

    public Map<String, String> query() {
        Map<String, String> query = new LinkedHashMap<>();
        String raw = exchange.getRequestURI().getRawQuery();
        if (raw != null) {
            for (String pair : raw.split("&")) {
                String[] both = pair.split("=", 2);
                query.put(decode(both[0]), both.length == 2 ? decode(both[1]) : "");
            }
        }
        return query;
    }

    /** A number of the query that may not be negative. */
    public int query(String name, int otherwise) {
        String value = query().get(name);
        if (value == null) {
            return otherwise;
        }
        try {
            return Integer.parseUnsignedInt(value);
        } catch (NumberFormatException malformed) {
            throw new IllegalArgumentException(name + ": not a number: " + value);
        }
    }

    public byte[] body() {
        try {
            byte[] body = exchange.getRequestBody().readNBytes(BODY_LIMIT + 1);
            if (body.length > BODY_LIMIT) {
                throw new IllegalArgumentException("the body is too large");
            }
            return body;
        } catch (IOException broken) {
            throw new IllegalArgumentException("the body can't be read", broken);
        }
    }

    public JsonNode json() {
        return Json.read(new String(body(), StandardCharsets.UTF_8));
    }

    public static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }
}
