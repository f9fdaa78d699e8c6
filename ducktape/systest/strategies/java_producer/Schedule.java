package systest;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.concurrent.locks.LockSupport;

/** Warm-up, then the measured time, then the end; times are {@code System.nanoTime()}. */
final class Schedule {
    private static final long SECOND_NS = 1_000_000_000L;
    private static final long MS_NS = 1_000_000L;

    /** How many are sent at the most; those of an open loop are fixed from the beginning. */
    final int records;
    private final long warmupNs;
    private final int warmupRecordsMax;
    private final long durationNs;
    private final long lateNs;
    private final long ratePerSecond;
    private final Runnable onBegin;
    private long startedNs;
    private long boundaryNs;
    private int firstMeasured = -1;
    private long measuredFromNs;
    private long measuredToNs;

    /** @param lateSeconds how long after the end an open loop may go on with what was due before it */
    Schedule(JsonNode workload, double warmupSeconds, double lateSeconds, Runnable onBegin) {
        double durationSeconds = workload.get("duration_s").asDouble();
        ratePerSecond = workload.get("rate_per_s").asLong(0);
        int recordsMax = workload.get("records_max").asInt();
        long due = Math.max(1, Math.round(ratePerSecond * (warmupSeconds + durationSeconds)));
        records = isOpen() ? (int) Math.min(recordsMax, due) : recordsMax;
        warmupNs = (long) (warmupSeconds * SECOND_NS);
        // Else the fastest of machines would spend them all on the warm-up, and have nothing to measure.
        warmupRecordsMax = isOpen() ? records : records / 3;
        durationNs = (long) (durationSeconds * SECOND_NS);
        lateNs = isOpen() ? (long) (lateSeconds * SECOND_NS) : 0;
        this.onBegin = onBegin;
    }

    boolean isOpen() {
        return ratePerSecond > 0;
    }

    /** When a record was due; -1 in a closed loop. */
    long intendedNs(int sequence) {
        return isOpen() ? startedNs + sequence * SECOND_NS / ratePerSecond : -1;
    }

    /** Whether the record was not due and time has passed; in whole milliseconds, as late as any other caller. */
    boolean waited(int sequence, long nowNs) {
        long leftNs = Math.min(intendedNs(sequence), boundaryNs) - nowNs;
        if (!isOpen() || leftNs <= 0) {
            return false;
        }
        LockSupport.parkNanos((leftNs + MS_NS - 1) / MS_NS * MS_NS);
        return true;
    }

    /** The warm-up begins: the client is connected and the first record is about to be sent. */
    void start() {
        startedNs = System.nanoTime();
        boundaryNs = startedNs + warmupNs;
    }

    long boundaryNs() {
        return boundaryNs;
    }

    /** Whether the warm-up, or else the measured time, is over before the next record. */
    boolean isOver(int sequence, long nowNs) {
        return nowNs >= boundaryNs || (firstMeasured < 0 && sequence >= warmupRecordsMax);
    }

    /** Moves on past the boundary; false once sending is over. {@code sequence} is the next to be sent. */
    boolean passed(int sequence) {
        if (firstMeasured >= 0) {
            return false;
        }
        onBegin.run();
        firstMeasured = sequence;
        measuredFromNs = System.nanoTime();
        boundaryNs = measuredFromNs + durationNs + lateNs;
        return true;
    }

    /** Sending is over, because the time was up or every record is sent. */
    void end(int sequence) {
        if (firstMeasured < 0) {
            passed(sequence);
        }
        measuredToNs = Math.min(boundaryNs - lateNs, System.nanoTime());
    }

    int firstMeasured() {
        return firstMeasured;
    }

    long measuredFromNs() {
        return measuredFromNs;
    }

    long measuredToNs() {
        return measuredToNs;
    }
}
