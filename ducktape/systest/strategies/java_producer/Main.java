package systest;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import org.apache.kafka.common.KafkaException;

/** The strategy {@code java} as a worker: what the spec says, told in the worker protocol. */
public final class Main {
    private Main() {
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            System.err.println("usage: systest.Main SPEC");
            System.exit(2);
        }
        Events events = new Events(System.out);
        Runtime.getRuntime().addShutdownHook(new Thread(events::close));
        int status = 0;
        try {
            JsonNode spec = new ObjectMapper().readTree(Path.of(arguments[0]).toFile());
            new Producing(spec, events).run();
        } catch (CannotRun | KafkaException failure) {
            status = failed(events, failure, failure.getMessage());
        } catch (Exception failure) {
            status = failed(events, failure, failure.toString());
        }
        // Everything is written and told; what threads a client has left must not hold the process.
        Runtime.getRuntime().halt(status);
    }

    private static int failed(Events events, Exception failure, String reason) {
        failure.printStackTrace();
        events.error(reason == null ? failure.toString() : reason);
        return 1;
    }
}
