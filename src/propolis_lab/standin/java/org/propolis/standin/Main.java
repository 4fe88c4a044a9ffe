package org.propolis.standin;

import com.typesafe.config.ConfigException;
import java.io.IOException;
import java.nio.file.Path;
import org.propolis.standin.files.Files;
import org.propolis.standin.graph.Database;
import org.propolis.standin.graph.GaveUp;
import org.propolis.standin.graph.Records;
import org.propolis.standin.web.Server;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Starts the stand-in: {@code Main <application.conf>}. Ends with 0 on SIGTERM, 1 if it can't start, 2 on wrong use.
 *
 * Where its servers don't answer in time it stays alive and never listens, as TheHive does.
 */
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
        } catch (GaveUp late) {
            LOG.error("{}; only a restart helps", late.getMessage(), late.getCause());
            while (true) {
                java.util.concurrent.locks.LockSupport.park();
            }
        } catch (Exception failure) {
            LOG.error("Database initialisation has failed", failure);
            closing.failed(1);
            System.exit(1);
        }
    }

    private static void start(Settings settings, Closing closing) throws IOException, InterruptedException, GaveUp {
        Files files = settings.files();
        String secretKey = settings.secretKey();
        Database database = closing.add(Database.open(settings.graph(), settings.opening()));
        files.prepare();
        Accounts accounts = new Accounts(database, secretKey);
        accounts.ensure(settings.text("standin.admin-password").orElse("secret"), settings.text("standin.api-key"));
        Records records = new Records(database, files);
        Acknowledgements acknowledgements =
                closing.add(new Acknowledgements(settings.text("standin.acknowledgements").map(Path::of)));
        Load load = closing.add(new Load(records, acknowledgements));
        Server server = closing.add(new Server(settings.address(), settings.port(), Api.COOKIE, accounts));
        new Api(database, records, accounts, acknowledgements, load).routes(server);
        server.listen();
        settings.text("standin.load").ifPresent(rate -> load.rate(Double.parseDouble(rate)));
        LOG.info("ready on {}:{}", settings.address(), settings.port());
    }
}
