package holdfast.engine.migrate;

import holdfast.engine.memory.CheckpointDigest;

import java.util.List;

/** What a migration's source wants done. Performed in order, by the session's thread. */
public sealed interface SourceEffect {
    /** Send the pages that are dirty now (in round 0 all); answer with RoundSent. */
    record CopyRound(int round) implements SourceEffect {}

    /**
     * Send the RAM blocks outside main memory, for which the guest stands still for some
     * milliseconds: later they would cost as much of its pause. Where that fails they are sent
     * then.
     */
    record SendBase() implements SourceEffect {}

    /** Collect what was written meanwhile; answer with RoundMeasured. */
    record Measure(int round, long sentPages, long sentBytes, long nanos) implements SourceEffect {}

    /** Let the guest run so many percent of the time less. */
    record Throttle(int percent) implements SourceEffect {}

    /** Suspend, save, begin to send what is left; answer with Frozen or FreezeFailed, FinalSent. */
    record Freeze(int rounds) implements SourceEffect {}

    /** Tell the destination that all was sent. */
    record SendPerformed(List<CheckpointDigest> streams, Cookies.Performed cookie)
            implements SourceEffect {
        public SendPerformed {
            streams = List.copyOf(streams);
        }
    }

    /** The point of no return. */
    record HandOver(SourceState.Handover handover) implements SourceEffect {}

    /** Tell the destination to take everything down. */
    record SendCancel(String reason) implements SourceEffect {}

    /** Let the guest run again; answer with Resumed, ResumeFailed or DomainEnded. */
    record Resume() implements SourceEffect {}

    /** Answer with ResumeAgain a moment later. */
    record ResumeLater() implements SourceEffect {}

    /** Ask the destination, again and again, what became of the domain. */
    record AskPeer(SourceState.Handover handover) implements SourceEffect {}

    /** Answer with Overdue when the stage's time is over. */
    record StartDeadline(SourceEvent.Stage stage) implements SourceEffect {}

    /** End the session: a domain that moved is ended here, in any other case it is left alone. */
    record Finish(SourceOutcome outcome) implements SourceEffect {}
}
