package org.propolis.standin;

import com.typesafe.config.ConfigException;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Starts the stand-in: {@code Main <application.conf>}. Ends with 0 on SIGTERM, 1 if it can't start, 2 on wrong use. */
public final class Main {
    private static final Logger LOG = LoggerFactory.getLogger(Main.class);

    private Main() {}

    public static void main(String[] arguments) {
        if (arguments.length != 1) {
            System.err.println("usage: org.propolis.standin.Main <application.conf>");
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
        } catch (Exception failure) {
            LOG.error("can't start", failure);
            closing.failed(1);
            System.exit(1);
        }
    }

    private static void start(Settings settings, Closing closing) throws IOException, InterruptedException {
        Files files = settings.files();
        String secretKey = settings.secretKey();
        Server server = closing.add(new Server(settings.address(), settings.port()));
        Duration patience = Duration.ofSeconds(settings.number("standin.start-timeout", 300));
        Database database = closing.add(Database.open(settings.graph(), patience));
        files.prepare();
        Accounts accounts = new Accounts(database, secretKey);
        accounts.ensure(settings.text("standin.admin-password").orElse("secret"), settings.text("standin.api-key"));
        Records records = new Records(database, files);
        Acknowledgements acknowledgements =
                closing.add(new Acknowledgements(settings.text("standin.acknowledgements").map(Path::of)));
        Load load = closing.add(new Load(records, acknowledgements));
        new Api(database, records, accounts, acknowledgements, load).routes(server);
        server.ready(accounts);
        settings.text("standin.load").ifPresent(rate -> load.rate(Double.parseDouble(rate)));
        LOG.info("ready on {}:{}", settings.address(), settings.port());
    }
}
