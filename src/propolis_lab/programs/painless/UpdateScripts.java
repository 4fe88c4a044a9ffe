package org.propolis.painless;

import java.util.List;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.painless.PainlessScriptEngine;
import org.elasticsearch.painless.spi.Whitelist;
import org.elasticsearch.painless.spi.WhitelistLoader;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.plugins.ScriptPlugin;
import org.elasticsearch.script.ScriptContext;
import org.elasticsearch.script.ScriptEngine;

/**
 * Painless 7.10 on a later server, for document updates alone, which is all that JanusGraph needs. The module's own
 * plugin class can't be used: its whitelists name classes that the later server no longer has.
 */
public final class UpdateScripts extends Plugin implements ScriptPlugin {
    private static final String[] JAVA = {"java.lang.txt", "java.math.txt", "java.text.txt", "java.time.txt",
        "java.time.chrono.txt", "java.time.format.txt", "java.time.temporal.txt", "java.time.zone.txt", "java.util.txt",
        "java.util.function.txt", "java.util.regex.txt", "java.util.stream.txt"};

    @Override
    public ScriptEngine getScriptEngine(Settings settings, Collection<ScriptContext<?>> contexts) {
        Map<ScriptContext<?>, List<Whitelist>> allowed = new HashMap<>();
        for (ScriptContext<?> context : contexts) {
            if (context.name.equals("update")) {
                allowed.put(context, new ArrayList<>(List.of(
                        WhitelistLoader.loadFromResourceFiles(UpdateScripts.class, "/primitives.txt"),
                        WhitelistLoader.loadFromResourceFiles(Whitelist.class, JAVA))));
            }
        }
        return new PainlessScriptEngine(settings, allowed);
    }
}
