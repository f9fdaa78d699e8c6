package systest;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;

/** librdkafka's client settings in the Java client's words. */
final class Settings {
    /** Those that the two clients call by one name and mean alike. */
    private static final Set<String> ALIKE = Set.of(
        "bootstrap.servers", "client.id", "acks", "enable.idempotence", "compression.type", "linger.ms",
        "batch.size", "request.timeout.ms", "delivery.timeout.ms", "retries", "retry.backoff.ms",
        "max.in.flight.requests.per.connection", "transactional.id", "transaction.timeout.ms",
        "security.protocol", "sasl.mechanism", "ssl.endpoint.identification.algorithm");
    private static final Map<String, String> RENAMED = Map.of(
        "message.max.bytes", "max.request.size",
        "message.timeout.ms", "delivery.timeout.ms",
        "sasl.mechanisms", "sasl.mechanism");
    /** PEM files, whose content the Java client takes. */
    private static final Map<String, String> FILES = Map.of(
        "ssl.ca.location", "ssl.truststore.certificates",
        "ssl.certificate.location", "ssl.keystore.certificate.chain",
        "ssl.key.location", "ssl.keystore.key");

    private Settings() {
    }

    static Map<String, Object> translated(JsonNode client) throws CannotRun {
        Map<String, Object> settings = new HashMap<>();
        for (Iterator<Map.Entry<String, JsonNode>> each = client.fields(); each.hasNext();) {
            Map.Entry<String, JsonNode> entry = each.next();
            String name = entry.getKey();
            String value = entry.getValue().asText();
            if (ALIKE.contains(name)) {
                settings.put(name, name.equals("security.protocol") ? value.toUpperCase() : value);
            } else if (RENAMED.containsKey(name)) {
                settings.put(RENAMED.get(name), value);
            } else if (FILES.containsKey(name)) {
                boolean isTrust = name.equals("ssl.ca.location");
                settings.put(FILES.get(name), content(name, value));
                settings.put(isTrust ? "ssl.truststore.type" : "ssl.keystore.type", "PEM");
            } else if (name.equals("ssl.key.password")) {
                settings.put(name, value);
            } else if (name.equals("partitioner")) {
                if (!value.equals("murmur2_random")) {
                    throw new CannotRun("the Java client places keys by murmur2 and can't do partitioner=" + value);
                }
            } else if (!name.equals("sasl.username") && !name.equals("sasl.password")) {
                throw new CannotRun("the Java client has no equivalent of the client setting " + name);
            }
        }
        if (client.has("sasl.username")) {
            settings.put("sasl.jaas.config", jaas(client, settings));
        }
        return settings;
    }

    private static String jaas(JsonNode client, Map<String, Object> settings) {
        boolean isPlain = "PLAIN".equals(settings.get("sasl.mechanism"));
        String module = isPlain
            ? "org.apache.kafka.common.security.plain.PlainLoginModule"
            : "org.apache.kafka.common.security.scram.ScramLoginModule";
        return String.format(
            "%s required username=%s password=%s;",
            module, quoted(client.get("sasl.username").asText()), quoted(client.path("sasl.password").asText()));
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    private static String content(String name, String file) throws CannotRun {
        try {
            return Files.readString(Path.of(file));
        } catch (IOException error) {
            throw new CannotRun("the file " + file + " of " + name + " can't be read: " + error.getMessage());
        }
    }
}
