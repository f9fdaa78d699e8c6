package systest;

/** What the process used over the measured time. */
record Resources(double cpuSeconds, double callerCpuSeconds, long rssStartBytes, long rssEndBytes, long rssPeakBytes) {
}
