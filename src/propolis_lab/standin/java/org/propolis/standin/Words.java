package org.propolis.standin;

import java.util.Random;

/** Titles, texts and files that depend on nothing but the random generator handed in. */
public final class Words {
    private static final String[] NOUNS = {
        "phishing", "ransomware", "beacon", "credential", "malware", "exfiltration", "botnet", "intrusion", "backdoor",
        "trojan", "webshell", "keylogger", "dropper", "spam", "scan", "tunnel", "escalation", "persistence", "macro",
        "invoice", "mailbox", "server", "laptop", "gateway", "proxy", "domain", "certificate", "account", "session"
    };
    private static final String[] ADJECTIVES = {
        "suspicious", "confirmed", "repeated", "lateral", "encrypted", "external", "internal", "unknown", "targeted",
        "automated", "stolen", "forged", "hidden", "recurring", "critical", "dormant", "obfuscated", "remote"
    };
    private static final String[] PLACES = {
        "finance", "sales", "paris", "berlin", "warehouse", "research", "reception", "datacentre", "factory", "helpdesk",
        "payroll", "legal", "montreal", "lisbon", "oslo", "logistics"
    };

    private Words() {}

    public static String title(Random random) {
        return capital(pick(random, ADJECTIVES)) + " " + pick(random, NOUNS) + " in " + pick(random, PLACES);
    }

    public static String text(Random random, int sentences) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < sentences; i++) {
            text.append(i == 0 ? "" : " ").append(capital(pick(random, ADJECTIVES))).append(' ').append(pick(random, NOUNS))
                    .append(" seen on the ").append(pick(random, PLACES)).append(' ').append(pick(random, NOUNS))
                    .append(" near host").append(random.nextInt(5000)).append('.');
        }
        return text.toString();
    }

    /** An address, domain or hash such as an observable holds, after its type: {@code {type, value}}. */
    public static String[] observable(Random random) {
        return switch (random.nextInt(3)) {
            case 0 -> new String[] {"ip", "203.0.113." + random.nextInt(256)};
            case 1 -> new String[] {"domain", pick(random, NOUNS) + random.nextInt(10000) + ".example.org"};
            default -> new String[] {"hash", Digests.sha256(Long.toString(random.nextLong()))};
        };
    }

    /** A file's content: half of it text, which compresses, half of it noise, which doesn't. */
    public static byte[] content(Random random, int size) {
        byte[] content = new byte[size];
        random.nextBytes(content);
        byte[] text = text(random, 8).getBytes();
        for (int at = 0; at < size / 2; at += text.length) {
            System.arraycopy(text, 0, content, at, Math.min(text.length, size / 2 - at));
        }
        return content;
    }

    private static String pick(Random random, String[] words) {
        return words[random.nextInt(words.length)];
    }

    private static String capital(String word) {
        return Character.toUpperCase(word.charAt(0)) + word.substring(1);
    }
}
