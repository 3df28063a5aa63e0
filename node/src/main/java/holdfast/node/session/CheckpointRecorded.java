package holdfast.node.session;

import jdk.jfr.Category;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/** One checkpoint in a flight recording: how long the guest stood, and where that time went. */
@Name("holdfast.Checkpoint")
@Label("Checkpoint")
@Category("Holdfast")
@StackTrace(false)
final class CheckpointRecorded extends Event {
    @Label("Domain")
    String domain;

    @Label("Epoch")
    long epoch;

    @Label("Dirty pages")
    long dirtyPages;

    @Label("Suspend")
    @Timespan
    long suspendNanos;

    @Label("Save device state")
    @Timespan
    long stateNanos;

    @Label("Close output")
    @Timespan
    long outputNanos;

    @Label("Collect dirty pages")
    @Timespan
    long trackNanos;

    @Label("Copy pages")
    @Timespan
    long copyNanos;

    @Label("Resume")
    @Timespan
    long resumeNanos;
}
