package org.propolis.standin.cortex;

import com.typesafe.config.ConfigException;
import java.io.IOException;
import java.nio.file.Path;
import org.propolis.standin.Closing;
import org.propolis.standin.Settings;
import org.propolis.standin.web.Server;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Starts the stand-in for Cortex: {@code Main <application.conf>}. Ends with 0 on SIGTERM, 1 if it can't start, 2 on
 * wrong use. As Cortex does, it listens whether its index answers or not.
 */
public final class Main {
    private static final Logger LOG = LoggerFactory.getLogger(Main.class);

    private Main() {}

    public static void main(String[] arguments) {
        if (arguments.length != 1) {
            System.err.println("usage: org.propolis.standin.cortex.Main <application.conf>");
            System.exit(2);
        }
        Closing closing = new Closing();
        Runtime.getRuntime().addShutdownHook(new Thread(closing::run, "closing"));
        try {
            start(Settings.read(Path.of(arguments[0])), closing);
        } catch (ConfigException | IllegalArgumentException wrong) {
            System.err.println("configuration: " + wrong.getMessage());
            closing.failed(2);
            System.exit(2);
        } catch (IOException failure) {
            LOG.error("can't start", failure);
            closing.failed(1);
            System.exit(1);
        }
    }

    private static void start(Settings settings, Closing closing) throws IOException {
        settings.secretKey();
        Index index = Index.of(settings);
        Users users = new Users(index);
        Jobs jobs = new Jobs(index, Folders.of(settings));
        int port = settings.number("http.port", 9001);
        Server server = closing.add(new Server(settings.address(), port, "CORTEX_SESSION", users));
        new Api(settings, index, users, jobs).routes(server);
        server.listen();
        LOG.info("ready on {}:{}", settings.address(), port);
    }
}
