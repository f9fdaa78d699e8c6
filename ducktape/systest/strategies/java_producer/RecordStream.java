package systest;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
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

    final List<String> topics;
    private final int run;
    private final int producer;
    private final int partitions;
    private final boolean byPartition;
    private final int valueBytes;
    private final long keys;
    private final boolean headers;
    private final Long timestampBaseMs;
    private final byte[] filler;
    private final CRC32 crc = new CRC32();

    RecordStream(JsonNode stream) {
        topics = names(stream.get("topic").asText(), stream.get("topics").asInt());
        run = (int) stream.get("run").asLong();
        producer = (int) stream.get("producer").asLong();
        partitions = stream.get("partitions").asInt();
        byPartition = stream.get("placement").asText().equals("partition");
        valueBytes = stream.get("value_bytes").asInt();
        keys = stream.get("keys").asLong();
        headers = stream.get("headers").asBoolean();
        JsonNode base = stream.get("timestamp_base_ms");
        timestampBaseMs = base.isNull() ? null : base.asLong();
        filler = filler((run & 0xFFFFFFFFL) << 32 | producer & 0xFFFFFFFFL, valueBytes - FILLER_AT - CHECKSUM_BYTES);
    }

    /** What histories add to a partition's own number, by topic. */
    Map<String, Integer> firstPartitions() {
        Map<String, Integer> first = new HashMap<>();
        for (int index = 0; index < topics.size(); index++) {
            first.put(topics.get(index), index * partitions);
        }
        return first;
    }

    /** Record {@code sequence}. On one thread only: the checksum's state is shared. */
    ProducerRecord<byte[], byte[]> record(long sequence) {
        long keyIndex = keys > 0 ? sequence * KEY_STEP % keys : NO_KEY;
        byte[] key = keys > 0 ? String.format("key-%08d", keyIndex).getBytes(StandardCharsets.US_ASCII) : null;
        Integer partition = byPartition ? Integer.valueOf((int) (sequence / topics.size() % partitions)) : null;
        Long timestamp = timestampBaseMs == null ? null : Long.valueOf(timestampBaseMs + sequence);
        Iterable<Header> own = headers
            ? List.of(new RecordHeader("sequence", Long.toString(sequence).getBytes(StandardCharsets.US_ASCII)))
            : null;
        String topic = topics.get((int) (sequence % topics.size()));
        return new ProducerRecord<>(topic, partition, timestamp, key, value(sequence, (int) keyIndex), own);
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
        crc.reset();
        crc.update(value, 0, valueBytes - CHECKSUM_BYTES);
        buffer.putInt((int) crc.getValue());
        return value;
    }

    /** The numbers of splitmix64, little-endian, as many bytes as asked. */
    private static byte[] filler(long seed, int length) {
        ByteBuffer bytes = ByteBuffer.allocate(length + Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        long state = seed;
        while (bytes.position() < length) {
            state += 0x9E3779B97F4A7C15L;
            long mixed = (state ^ state >>> 30) * 0xBF58476D1CE4E5B9L;
            mixed = (mixed ^ mixed >>> 27) * 0x94D049BB133111EBL;
            bytes.putLong(mixed ^ mixed >>> 31);
        }
        byte[] filler = new byte[length];
        System.arraycopy(bytes.array(), 0, filler, 0, length);
        return filler;
    }
}
