package holdfast.sim.link;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;

/** What two simulated nodes say to each other over the control connection. */
public sealed interface ControlMessage {
    /** What a primary says. */
    sealed interface FromPrimary extends ControlMessage {}

    /** What a secondary says. */
    sealed interface FromSecondary extends ControlMessage {}

    /** A checkpoint message of the primary. */
    record Checkpoint(long epoch, ToSecondary message) implements FromPrimary {}

    /** What a checkpoint was. */
    record Digest(long epoch, CheckpointDigest digest) implements FromPrimary {}

    /** Discard the replica and confirm. */
    record Dismiss(String reason) implements FromPrimary {}

    /** The domain died here. */
    record DomainDied(String reason) implements FromPrimary {}

    /** The primary's copy is stopped for good. */
    record StoodDown() implements FromPrimary {}

    /** A checkpoint message of the secondary. */
    record Answer(long epoch, ToPrimary message) implements FromSecondary {}

    /** Stop your copy for good and confirm. */
    record Claim(String reason) implements FromSecondary {}

    /** The replica is discarded. */
    record Discarded(String reason) implements FromSecondary {}

    /** I am here. */
    record Heartbeat() implements FromPrimary, FromSecondary {}

    /** Nothing follows. */
    record Close(String reason) implements FromPrimary, FromSecondary {}
}
