package systest;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.zip.CRC32;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The records to send, byte for byte as {@code systest.workloads.stream} defines them. */
final class RecordStream {
    private static final int FILLER_AT = 20;
    private static final int CHECKSUM_BYTES = 4;
    private static final int NO_KEY = -1;
    private static final long KEY_STEP = 2654435761L;
    private static final long GOLDEN = 0x9E3779B97F4A7C15L;
    private static final int TRACES = 1024;
    private static final byte[] TEXT_BEGIN = ascii("{\"id\":\"");
    private static final byte[] TEXT_BEFORE_FILLER =
        ascii("\",\"type\":\"order.placed\",\"currency\":\"EUR\",\"note\":\"");
    private static final byte[] TEXT_BEHIND_FILLER = ascii("\",\"crc\":\"");
    private static final byte[] TEXT_END = ascii("\"}");
    private static final int FIRST_LETTER = 0x40;

    final List<String> topics;
    private final int run;
    private final int producer;
    private final int partitions;
    private final boolean byPartition;
    private final int valueBytes;
    private final boolean isText;
    private final Object[] keys;
    private final List<List<Header>> headers;
    private final Long timestampBaseMs;
    private final byte[] filler;
    private final ByteBuffer identity = ByteBuffer.allocate(FILLER_AT).order(ByteOrder.LITTLE_ENDIAN);
    private final CRC32 crc = new CRC32();

    RecordStream(JsonNode stream) {
        topics = names(stream.get("topic").asText(), stream.get("topics").asInt());
        run = (int) stream.get("run").asLong();
        producer = (int) stream.get("producer").asLong();
        partitions = stream.get("partitions").asInt();
        byPartition = stream.get("placement").asText().equals("partition");
        valueBytes = stream.get("value_bytes").asInt();
        isText = stream.get("text").asBoolean();
        keys = keys(stream.get("keys").asInt(), isText);
        headers = stream.get("headers").asBoolean() ? headers() : List.of();
        JsonNode base = stream.get("timestamp_base_ms");
        timestampBaseMs = base.isNull() ? null : base.asLong();
        int around = isText
            ? TEXT_BEGIN.length + 2 * FILLER_AT + TEXT_BEFORE_FILLER.length + TEXT_BEHIND_FILLER.length
                + 2 * CHECKSUM_BYTES + TEXT_END.length
            : FILLER_AT + CHECKSUM_BYTES;
        byte[] numbers = filler((run & 0xFFFFFFFFL) << 32 | producer & 0xFFFFFFFFL, valueBytes - around);
        filler = isText ? Arrays.copyOf(spelled(numbers), numbers.length) : numbers;
    }

    /** What histories add to a partition's own number, by topic. */
    Map<String, Integer> firstPartitions() {
        Map<String, Integer> first = new HashMap<>();
        for (int index = 0; index < topics.size(); index++) {
            first.put(topics.get(index), index * partitions);
        }
        return first;
    }

    /** Whether keys and values are given to the client as text, else as bytes. */
    boolean isText() {
        return isText;
    }

    /** Record {@code sequence}. On one thread only: the checksum's state is shared. */
    ProducerRecord<Object, Object> record(long sequence) {
        int keyIndex = keys.length > 0 ? (int) (sequence * KEY_STEP % keys.length) : NO_KEY;
        Object key = keys.length > 0 ? keys[keyIndex] : null;
        Integer partition = byPartition ? Integer.valueOf((int) (sequence / topics.size() % partitions)) : null;
        Long timestamp = timestampBaseMs == null ? null : Long.valueOf(timestampBaseMs + sequence);
        Iterable<Header> own = headers.isEmpty() ? null : headers.get((int) (sequence % headers.size()));
        String topic = topics.get((int) (sequence % topics.size()));
        Object value = isText ? text(sequence, keyIndex) : value(sequence, keyIndex);
        return new ProducerRecord<>(topic, partition, timestamp, key, value, own);
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    private static Object[] keys(int count, boolean isText) {
        return IntStream.range(0, count)
            .mapToObj(index -> String.format("key-%08d", index))
            .map(key -> isText ? key : (Object) ascii(key))
            .toArray();
    }

    private static List<List<Header>> headers() {
        Header source = new RecordHeader("source", ascii("systest"));
        return LongStream.rangeClosed(1, TRACES)
            .mapToObj(number -> String.format("%016x", number * GOLDEN))
            .map(half -> List.<Header>of(new RecordHeader("trace", ascii(half + half)), source))
            .collect(Collectors.toList());
    }

    private static List<String> names(String topic, int count) {
        return count == 1
            ? List.of(topic)
            : IntStream.range(0, count).mapToObj(index -> topic + "-" + index).collect(Collectors.toList());
    }

    private byte[] value(long sequence, int keyIndex) {
        byte[] value = new byte[valueBytes];
        ByteBuffer buffer = ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN);
        buffer.putInt(run).putInt(producer).putLong(sequence).putInt(keyIndex).put(filler);
        buffer.putInt(checksum(value, valueBytes - CHECKSUM_BYTES));
        return value;
    }

    private String text(long sequence, int keyIndex) {
        byte[] value = new byte[valueBytes];
        ByteBuffer buffer = ByteBuffer.wrap(value);
        identity.clear().putInt(run).putInt(producer).putLong(sequence).putInt(keyIndex);
        buffer.put(TEXT_BEGIN).put(spelled(identity.array()));
        buffer.put(TEXT_BEFORE_FILLER).put(filler).put(TEXT_BEHIND_FILLER);
        int crc = Integer.reverseBytes(checksum(value, buffer.position()));
        buffer.put(spelled(ByteBuffer.allocate(CHECKSUM_BYTES).putInt(crc).array())).put(TEXT_END);
        return new String(value, StandardCharsets.US_ASCII);
    }

    private int checksum(byte[] value, int length) {
        crc.reset();
        crc.update(value, 0, length);
        return (int) crc.getValue();
    }

    /** Two letters for each byte. */
    private static byte[] spelled(byte[] bytes) {
        byte[] letters = new byte[2 * bytes.length];
        for (int index = 0; index < bytes.length; index++) {
            letters[2 * index] = (byte) (FIRST_LETTER + (bytes[index] >> 4 & 0xF));
            letters[2 * index + 1] = (byte) (FIRST_LETTER + (bytes[index] & 0xF));
        }
        return letters;
    }

    /** The numbers of splitmix64, little-endian, as many bytes as asked. */
    private static byte[] filler(long seed, int length) {
        ByteBuffer bytes = ByteBuffer.allocate(length + Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        long state = seed;
        while (bytes.position() < length) {
            state += GOLDEN;
            long mixed = (state ^ state >>> 30) * 0xBF58476D1CE4E5B9L;
            mixed = (mixed ^ mixed >>> 27) * 0x94D049BB133111EBL;
            bytes.putLong(mixed ^ mixed >>> 31);
        }
        byte[] filler = new byte[length];
        System.arraycopy(bytes.array(), 0, filler, 0, length);
        return filler;
    }
}
