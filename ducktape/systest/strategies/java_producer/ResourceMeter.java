package systest;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;

/** CPU and memory of this process; memory is without the history that the harness keeps. */
final class ResourceMeter {
    private static final Path STATUS = Path.of("/proc/self/status");

    private final OperatingSystemMXBean system =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private final ThreadMXBean threads = ManagementFactory.getThreadMXBean();
    private final long heldBytes;
    private long cpuFromNs;
    private long callerCpuFromNs;
    private long rssStartBytes;
    private volatile long rssPeakBytes;

    ResourceMeter(long heldBytes) {
        this.heldBytes = heldBytes;
    }

    /** On the thread that sends, as {@code end}. */
    void begin() {
        cpuFromNs = system.getProcessCpuTime();
        callerCpuFromNs = threads.getCurrentThreadCpuTime();
        rssStartBytes = rss();
        rssPeakBytes = rssStartBytes;
    }

    void sample() {
        rssPeakBytes = Math.max(rssPeakBytes, rss());
    }

    Resources end() {
        sample();
        double cpuSeconds = (system.getProcessCpuTime() - cpuFromNs) / 1e9;
        double callerCpuSeconds = (threads.getCurrentThreadCpuTime() - callerCpuFromNs) / 1e9;
        return new Resources(cpuSeconds, callerCpuSeconds, rssStartBytes, rss(), rssPeakBytes);
    }

    private long rss() {
        return Math.max(0, resident() - heldBytes);
    }

    private static long resident() {
        try {
            for (String line : Files.readAllLines(STATUS)) {
                if (line.startsWith("VmRSS:")) {
                    return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
                }
            }
        } catch (IOException none) {
            // Not Linux: the heap is the best that a JVM knows of itself.
        }
        return Runtime.getRuntime().totalMemory();
    }
}
