package holdfast.engine.migrate;

import holdfast.engine.memory.CheckpointDigest;

import java.util.List;

/** What can happen to a migration's source. */
public sealed interface SourceEvent {
    /** The destination's hypervisor waits. */
    record PeerPrepared(Cookies.Prepared cookie) implements SourceEvent {}

    /** The disks are copied; from here on every write reaches the destination, too. */
    record DisksSynchronised() implements SourceEvent {}

    /** All connections took a round; what the guest wrote meanwhile is to be collected. */
    record RoundSent(int round, long sentPages, long sentBytes, long nanos)
            implements SourceEvent {}

    /** A round is over. */
    record RoundMeasured(PrecopyPolicy.Measured measured) implements SourceEvent {}

    /** The guest is suspended, its device state saved, its last pages are on their way. */
    record Frozen(long pages, long stateBytes) implements SourceEvent {}

    /** It could not be suspended or its state not be saved. */
    record FreezeFailed(String reason) implements SourceEvent {}

    /** Every byte was handed to the transport. */
    record FinalSent(List<CheckpointDigest> streams, Cookies.Performed cookie)
            implements SourceEvent {
        public FinalSent {
            streams = List.copyOf(streams);
        }
    }

    /** The destination has the state and its required features. */
    record PeerFinished(Cookies.Finished cookie) implements SourceEvent {}

    /** The guest runs on the destination. */
    record PeerTookOver(long generation, String reason) implements SourceEvent {}

    /** The destination's copy is discarded and never ran. */
    record PeerRolledBack(Cookies.RolledBack cookie) implements SourceEvent {}

    /** The link broke or fell silent. */
    record PeerLost(String reason) implements SourceEvent {}

    /** The destination broke the protocol. */
    record PeerViolated(String reason) implements SourceEvent {}

    /** The destination, asked after it was lost, does not know yet or was not reached. */
    record NotAnswered(String reason) implements SourceEvent {}

    /** The operator wants the guest to stay. */
    record Cancel(String reason) implements SourceEvent {}

    /** After the hand-over: the operator's word that the destination's copy is dead. */
    record OperatorGoesOn(String reason) implements SourceEvent {}

    /** After the hand-over: the operator's word that the domain is the destination's. */
    record OperatorGivesUp(String reason) implements SourceEvent {}

    /** The rounds took longer than the operator wants: what is left travels at once. */
    record StopRounds() implements SourceEvent {}

    /** Something this side waits for takes too long though the destination still answers. */
    record Overdue(Stage stage) implements SourceEvent {}

    /** What a deadline is for. */
    enum Stage {
        PREPARE,
        ROUND,
        FINAL,
        FINISH,
        ROLLBACK
    }

    /** Something this side needs on its own node failed; the domain itself runs. */
    record SessionFailed(String reason) implements SourceEvent {}

    /** The guest runs again. */
    record Resumed() implements SourceEvent {}

    /** It does not yet: the destination may still hold its disk, say. */
    record ResumeFailed(String reason) implements SourceEvent {}

    /** It is time to try that again. */
    record ResumeAgain() implements SourceEvent {}

    /** The domain's process is gone or its guest shut down. */
    record DomainEnded(String reason) implements SourceEvent {}
}
