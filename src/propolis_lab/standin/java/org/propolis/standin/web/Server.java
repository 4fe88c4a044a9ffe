package org.propolis.standin.web;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Listens once it is told to: all that it needs is there by then. */
public final class Server implements AutoCloseable {
    /** Answers one kind of request; may throw NotFound, Refused or IllegalArgumentException. */
    public interface Handler {
        Response answer(Request request) throws Exception;
    }

    private record Route(String method, Pattern path, boolean open, Handler handler) {}

    private static final Logger LOG = LoggerFactory.getLogger(Server.class);
    private static final int THREADS = 8;
    private final List<Route> routes = new ArrayList<>();
    private final HttpServer server;
    private final ExecutorService pool = Executors.newFixedThreadPool(THREADS);
    private final String cookieName;
    private final Authenticator accounts;

    public Server(String address, int port, String cookieName, Authenticator accounts) throws IOException {
        this.cookieName = cookieName;
        this.accounts = accounts;
        server = HttpServer.create(new InetSocketAddress(address, port), 0);
        server.setExecutor(pool);
        server.createContext("/", this::handle);
    }

    /** A path with {@code {}} for each part that varies; open routes need no login. */
    public void route(String method, String path, boolean open, Handler handler) {
        Pattern pattern = Pattern.compile(path.replace("{}", "([^/]+)"));
        routes.add(new Route(method, pattern, open, handler));
    }

    public void route(String method, String path, Handler handler) {
        route(method, path, false, handler);
    }

    /** From now on requests are answered; all routes must have been added. */
    public void listen() {
        server.start();
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            Response response;
            try {
                response = answer(exchange);
            } catch (NotFound missing) {
                response = Response.error(404, "NotFoundError", missing.getMessage());
            } catch (Refused refused) {
                response = Response.error(refused.status(), refused.type(), refused.getMessage());
            } catch (IllegalArgumentException wrong) {
                response = Response.error(400, "BadRequest", wrong.getMessage());
            } catch (Exception failure) {
                LOG.warn("{} {}", exchange.getRequestMethod(), exchange.getRequestURI().getPath(), failure);
                response = Response.error(500, "InternalError", failure.toString());
            }
            send(exchange, response);
        }
    }

    private Response answer(HttpExchange exchange) throws Exception {
        String path = exchange.getRequestURI().getRawPath();
        boolean known = false;
        for (Route route : routes) {
            Matcher matcher = route.path.matcher(path);
            if (!matcher.matches()) {
                continue;
            }
            known = true;
            if (!route.method.equals(exchange.getRequestMethod())) {
                continue;
            }
            Optional<String> login = route.open ? Optional.of("") : authenticate(exchange);
            if (login.isEmpty()) {
                return Response.error(401, "AuthenticationError", "Authentication failure");
            }
            List<String> parts = new ArrayList<>();
            for (int i = 1; i <= matcher.groupCount(); i++) {
                parts.add(Request.decode(matcher.group(i)));
            }
            return route.handler.answer(new Request(exchange, parts, login.get()));
        }
        return known ? Response.error(405, "MethodNotAllowed", exchange.getRequestMethod())
                : Response.error(404, "NotFoundError", "no such path");
    }

    private Optional<String> authenticate(HttpExchange exchange) throws Exception {
        String session = null;
        for (String cookies : exchange.getRequestHeaders().getOrDefault("Cookie", List.of())) {
            for (String cookie : cookies.split(";")) {
                if (cookie.strip().startsWith(cookieName + "=")) {
                    session = cookie.strip().substring(cookieName.length() + 1);
                }
            }
        }
        return accounts.authenticate(exchange.getRequestHeaders().getFirst("Authorization"), session);
    }

    private static void send(HttpExchange exchange, Response response) throws IOException {
        exchange.getRequestBody().readAllBytes(); // the rest of it, so that the connection can be used again
        if (response.contentType() != null) {
            exchange.getResponseHeaders().set("Content-Type", response.contentType());
        }
        response.headers().forEach(exchange.getResponseHeaders()::set);
        int length = response.body().length;
        exchange.sendResponseHeaders(response.status(), length == 0 ? -1 : length);
        if (length > 0) {
            exchange.getResponseBody().write(response.body());
        }
    }

    /** Stops listening and waits a second for requests under way. */
    @Override
    public void close() {
        server.stop(0);
        pool.shutdown();
        try {
            pool.awaitTermination(1, java.util.concurrent.TimeUnit.SECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
