package systest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.IntToLongFunction;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The send history while it is made, as {@code systest.history.columns} has it on disk. */
final class Recorder {
    private static final byte PENDING = 0;
    private static final byte ACKED = 1;
    private static final byte FAILED = 2;
    private static final byte UNKNOWN = 3;
    private static final int CHUNK_ROWS = 1 << 16;

    final long[] calledNs;
    private final long[] settledNs;
    private final byte[] outcome;
    private final int[] partition;
    private final long[] offset;
    private final long[] timestampMs;
    private final byte[] reports;
    private final LongAdder acked = new LongAdder();
    private final LongAdder failed = new LongAdder();

    private final Map<String, Integer> firstPartitions;

    /** @param firstPartitions what is added to a partition's own number, by topic */
    Recorder(int capacity, boolean identify, Map<String, Integer> firstPartitions) {
        this.firstPartitions = firstPartitions;
        calledNs = new long[capacity];
        settledNs = new long[capacity];
        outcome = new byte[capacity];
        partition = new int[capacity];
        offset = new long[capacity];
        timestampMs = new long[identify ? capacity : 0];
        reports = new byte[capacity];
        // Written here once, so that no page is touched for the first time while the clock runs.
        for (long[] column : new long[][] {calledNs, settledNs, offset, timestampMs}) {
            Arrays.fill(column, -1);
        }
        Arrays.fill(partition, -1);
    }

    long heldBytes() {
        return 8L * (calledNs.length + settledNs.length + offset.length + timestampMs.length)
            + 4L * partition.length + outcome.length + reports.length;
    }

    void told(int sequence, RecordMetadata metadata, Exception error) {
        settledNs[sequence] = System.nanoTime();
        reports[sequence]++;
        if (error == null) {
            outcome[sequence] = ACKED;
            int first = firstPartitions.size() == 1 ? 0 : firstPartitions.get(metadata.topic());
            partition[sequence] = first + metadata.partition();
            offset[sequence] = metadata.offset();
            if (timestampMs.length > 0) {
                timestampMs[sequence] = metadata.timestamp();
            }
            acked.increment();
        } else {
            if (outcome[sequence] == PENDING) {
                outcome[sequence] = isCertain(error) ? FAILED : UNKNOWN;
            }
            failed.increment();
        }
    }

    long acked() {
        return acked.sum();
    }

    long failed() {
        return failed.sum();
    }

    /** Errors after which a record is certainly in no log. */
    private static boolean isCertain(Exception error) {
        return error instanceof RecordTooLargeException
            || error instanceof RecordBatchTooLargeException
            || error instanceof InvalidTopicException
            || error instanceof UnknownTopicOrPartitionException
            || error instanceof AuthorizationException;
    }

    void write(Path directory, int rows, IntToLongFunction intendedNs) throws IOException {
        Files.createDirectories(directory);
        column(directory, "intended_ns", rows, Long.BYTES, intendedNs);
        column(directory, "called_ns", rows, Long.BYTES, row -> calledNs[row]);
        column(directory, "settled_ns", rows, Long.BYTES, row -> settledNs[row]);
        column(directory, "outcome", rows, Byte.BYTES, row -> outcome[row]);
        column(directory, "partition", rows, Integer.BYTES, row -> partition[row]);
        column(directory, "offset", rows, Long.BYTES, row -> offset[row]);
        column(directory, "timestamp_ms", rows, Long.BYTES, row -> timestampMs.length > 0 ? timestampMs[row] : -1);
        column(directory, "reports", rows, Byte.BYTES, row -> reports[row]);
        column(directory, "reported", rows, Long.BYTES, row -> -1); // its reports carry no record
        String manifest = String.format(
            "{\"version\": 1, \"kind\": \"send\", \"rows\": %d, \"columns\": {\"intended_ns\": \"int64\", "
                + "\"called_ns\": \"int64\", \"settled_ns\": \"int64\", \"outcome\": \"int8\", \"partition\": \"int32\", "
                + "\"offset\": \"int64\", \"timestamp_ms\": \"int64\", \"reports\": \"int8\", \"reported\": \"int64\"}, \"facts\": {}}",
            rows);
        Files.write(directory.resolve("manifest.json"), manifest.getBytes(StandardCharsets.US_ASCII));
    }

    private static void column(Path directory, String name, int rows, int width, IntToLongFunction value)
        throws IOException {
        ByteBuffer chunk = ByteBuffer.allocate(CHUNK_ROWS * width).order(ByteOrder.LITTLE_ENDIAN);
        try (FileChannel file = FileChannel.open(
            directory.resolve(name + ".bin"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            for (int row = 0; row < rows;) {
                chunk.clear();
                for (; row < rows && chunk.hasRemaining(); row++) {
                    put(chunk, width, value.applyAsLong(row));
                }
                chunk.flip();
                while (chunk.hasRemaining()) {
                    file.write(chunk);
                }
            }
        }
    }

    private static void put(ByteBuffer chunk, int width, long value) {
        switch (width) {
            case Long.BYTES -> chunk.putLong(value);
            case Integer.BYTES -> chunk.putInt((int) value);
            default -> chunk.put((byte) value);
        }
    }
}
