package systest;

/** Warm-up, then the measured time, then the end; times are {@code System.nanoTime()}. */
final class Schedule {
    private final long warmupNs;
    private final long durationNs;
    private final Runnable onBegin;
    private long boundaryNs;
    private int firstMeasured = -1;
    private long measuredFromNs;
    private long measuredToNs;

    Schedule(double warmupSeconds, double durationSeconds, Runnable onBegin) {
        this.warmupNs = (long) (warmupSeconds * 1e9);
        this.durationNs = (long) (durationSeconds * 1e9);
        this.onBegin = onBegin;
    }

    /** The warm-up begins: the client is connected and the first record is about to be sent. */
    void start() {
        boundaryNs = System.nanoTime() + warmupNs;
    }

    long boundaryNs() {
        return boundaryNs;
    }

    /** Moves on past the boundary; false once sending is over. {@code sequence} is the next to be sent. */
    boolean passed(int sequence) {
        if (firstMeasured >= 0) {
            return false;
        }
        onBegin.run();
        firstMeasured = sequence;
        measuredFromNs = System.nanoTime();
        boundaryNs = measuredFromNs + durationNs;
        return true;
    }

    /** Sending is over, because the time was up or every record is sent. */
    void end(int sequence) {
        if (firstMeasured < 0) {
            passed(sequence);
        }
        measuredToNs = Math.min(boundaryNs, System.nanoTime());
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
