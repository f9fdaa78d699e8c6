package systest;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * One round of Apache Kafka's own Java producer: {@code send()} with a callback for each record from one thread, a
 * semaphore as the window, {@code flush()}, {@code close()}. It warms up for two seconds or a third of its records at
 * the least, because its JIT compiler needs them.
 */
final class Producing {
    private static final String IDIOM =
        "send() with a callback per record from one thread, a semaphore as window, flush(), close(); "
            + "2 s or more, or a third of its records, to warm up its JIT compiler";
    private static final double WARMUP_SECONDS_MIN = 2.0;
    private static final long REACH_LIMIT_SECONDS = 6;
    private static final int SAMPLE_MASK = 15;
    private static final long SAMPLE_MS = 100;
    private static final int PROGRESS_EVERY = 10;

    private final JsonNode spec;
    private final Events events;
    private final RecordStream stream;
    private final int inFlightMax;
    private final Recorder recorder;
    private final ResourceMeter meter;
    private final Schedule schedule;
    private final Semaphore window;
    private long produceNs;
    private long produceSampled;

    Producing(JsonNode spec, Events events) throws CannotRun {
        this.spec = spec;
        this.events = events;
        if (!spec.get("mutant").isNull()) {
            throw new CannotRun("mutants are planted in sync, async, async-pure only, not in java");
        }
        if (!spec.get("loop").asText().equals("asyncio")) {
            throw new CannotRun("java has no event loop, so it can't run on " + spec.get("loop").asText());
        }
        JsonNode workload = spec.get("workload");
        if (workload.get("tasks").asBoolean() || !workload.get("batch").isNull()) {
            throw new CannotRun("java can't run " + workload.get("name").asText() + ": it has neither tasks nor a bulk call");
        }
        stream = new RecordStream(spec.get("stream"));
        inFlightMax = workload.get("in_flight").asInt();
        double asked = workload.get("warmup_s").asDouble();
        double warmupSeconds = asked > 0 ? Math.max(asked, WARMUP_SECONDS_MIN) : 0;
        schedule = new Schedule(workload, warmupSeconds, spec.get("drain_s").asDouble(), this::begin);
        recorder =
            new Recorder(schedule.records, spec.get("identify_reports").asBoolean(), stream.firstPartitions());
        meter = new ResourceMeter(recorder.heldBytes());
        window = new Semaphore(inFlightMax);
    }

    void run() throws Exception {
        Map<String, Object> settings = Settings.translated(spec.get("client"));
        String java = System.getProperty("java.version");
        events.ready(
            spec.get("run_id").asText(), "kafka-clients " + AppInfoParser.getVersion() + " (Java " + java + ")", IDIOM);
        KafkaProducer<Object, Object> producer = new KafkaProducer<>(settings, serializer(), serializer());
        requireTopic(producer);
        Thread ticker = new Thread(this::tick, "progress");
        ticker.setDaemon(true);
        ticker.start();
        int sent = send(producer);
        long flushBeganNs = System.nanoTime();
        boolean isFlushed = within((long) (spec.get("drain_s").asDouble() * 1e3), producer::flush);
        double flushSeconds = (System.nanoTime() - flushBeganNs) / 1e9;
        Resources used = meter.end();
        // What is not settled by now is given up, and its callback hears of it.
        producer.close(isFlushed ? Duration.ofSeconds(5) : Duration.ZERO);
        if (schedule.isOpen() && sent < schedule.records) {
            throw new CannotRun("java fell behind: of " + schedule.records + " records it sent " + sent);
        }
        recorder.write(Path.of(spec.get("directory").asText()), sent, schedule::intendedNs);
        int calls = sent - schedule.firstMeasured();
        double produceSeconds = produceSampled == 0 ? 0 : produceNs / 1e9 * calls / produceSampled;
        events.summary(schedule, sent, produceSeconds, flushSeconds, used);
    }

    @SuppressWarnings("unchecked")
    private Serializer<Object> serializer() {
        Serializer<?> own = stream.isText() ? new StringSerializer() : new ByteArraySerializer();
        return (Serializer<Object>) own;
    }

    private int send(KafkaProducer<Object, Object> producer) throws InterruptedException {
        schedule.start();
        int sequence = 0;
        while (sequence < schedule.records) {
            long nowNs = System.nanoTime();
            if (schedule.isOver(sequence, nowNs)) {
                if (!schedule.passed(sequence)) {
                    break;
                }
                continue;
            }
            if (schedule.waited(sequence, nowNs)) {
                continue;
            }
            if (!window.tryAcquire() && !window.tryAcquire(schedule.boundaryNs() - nowNs, TimeUnit.NANOSECONDS)) {
                continue;
            }
            ProducerRecord<Object, Object> record = stream.record(sequence);
            int number = sequence++;
            long calledNs = System.nanoTime();
            recorder.calledNs[number] = calledNs;
            try {
                producer.send(record, (metadata, error) -> {
                    recorder.told(number, metadata, error);
                    window.release();
                });
            } catch (KafkaException error) {
                recorder.told(number, null, error);
                window.release();
            }
            if ((number & SAMPLE_MASK) == 0) {
                produceNs += System.nanoTime() - calledNs;
                produceSampled++;
            }
        }
        schedule.end(sequence);
        return sequence;
    }

    private void begin() {
        produceNs = 0;
        produceSampled = 0;
        events.measure();
        meter.begin();
    }

    private void requireTopic(KafkaProducer<Object, Object> producer) throws CannotRun, InterruptedException {
        FutureTask<?> asking = new FutureTask<>(() -> {
            stream.topics.forEach(producer::partitionsFor);
            return null;
        });
        Thread thread = new Thread(asking, "metadata");
        thread.setDaemon(true);
        thread.start();
        String servers = spec.get("client").get("bootstrap.servers").asText();
        try {
            asking.get(REACH_LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (TimeoutException late) {
            throw new CannotRun(
                "no broker answered at " + servers + " within " + REACH_LIMIT_SECONDS + " s for topic " + stream.topics.get(0));
        } catch (ExecutionException refused) {
            throw new CannotRun(
                "the broker at " + servers + " gave no metadata of topic " + stream.topics.get(0) + ": "
                    + refused.getCause().getMessage());
        }
    }

    /** Whether the work ended in time; it goes on if it did not. */
    private static boolean within(long limitMs, Runnable work) throws InterruptedException {
        Thread thread = new Thread(work, "flush");
        thread.setDaemon(true);
        thread.start();
        thread.join(Math.max(1, limitMs));
        return !thread.isAlive();
    }

    private void tick() {
        long beganNs = System.nanoTime();
        try {
            for (int sample = 1;; sample++) {
                Thread.sleep(SAMPLE_MS);
                meter.sample();
                if (sample % PROGRESS_EVERY == 0) {
                    events.progress((System.nanoTime() - beganNs) / 1e9, recorder.acked(), recorder.failed());
                }
            }
        } catch (InterruptedException over) {
            Thread.currentThread().interrupt();
        }
    }
}
