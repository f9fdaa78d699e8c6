package systest;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;

/** The worker protocol, version 1, as {@code systest.worker.protocol} has it: one JSON object a line. */
final class Events {
    private static final int VERSION = 1;

    private final ObjectMapper mapper = new ObjectMapper();
    private final PrintStream out;
    private boolean isOver;

    Events(PrintStream out) {
        this.out = out;
    }

    void ready(String runId, String client, String idiom) {
        ObjectNode event = event("ready");
        event.put("protocol", VERSION);
        event.put("pid", ProcessHandle.current().pid());
        event.put("run_id", runId);
        event.put("client", client);
        event.put("idiom", idiom);
        print(event);
    }

    void measure() {
        print(event("measure"));
    }

    void progress(double elapsedSeconds, long done, long failed) {
        ObjectNode event = event("progress");
        event.put("elapsed_s", elapsedSeconds);
        event.put("done", done);
        event.put("failed", failed);
        print(event);
    }

    void summary(Schedule schedule, int records, double produceSeconds, double flushSeconds, Resources used) {
        ObjectNode event = event("summary");
        event.put("records", records);
        event.put("first_measured", schedule.firstMeasured());
        event.put("measured_from_ns", schedule.measuredFromNs());
        event.put("measured_to_ns", schedule.measuredToNs());
        ObjectNode path = event.putObject("code_path");
        path.put("produce_calls", records - schedule.firstMeasured());
        path.put("produce_s", produceSeconds);
        path.put("flush_s", flushSeconds);
        ObjectNode whyNot = mapper.createObjectNode();
        for (String figure : new String[] {"poll_calls", "poll_s", "polled_reports"}) {
            path.putNull(figure);
            whyNot.put(figure, "it has no poll(); a thread of its own reads its sockets");
        }
        path.set("why_not", whyNot);
        ObjectNode resources = event.putObject("resources");
        resources.put("cpu_s", used.cpuSeconds());
        resources.put("caller_cpu_s", used.callerCpuSeconds());
        resources.put("rss_start_bytes", used.rssStartBytes());
        resources.put("rss_end_bytes", used.rssEndBytes());
        resources.put("rss_peak_bytes", used.rssPeakBytes());
        event.putNull("lag_ns");
        event.putNull("lag_work_ns");
        event.putNull("transport");
        print(event);
        close();
    }

    void error(String reason) {
        ObjectNode event = event("error");
        event.put("reason", reason.replaceAll("\\s+", " "));
        print(event);
        close();
    }

    /** The last word is said; a thread that is late says nothing more. */
    synchronized void close() {
        isOver = true;
    }

    private ObjectNode event(String type) {
        return mapper.createObjectNode().put("type", type);
    }

    private synchronized void print(ObjectNode event) {
        if (!isOver) {
            out.println(event);
            out.flush();
        }
    }
}
