package holdfast.sim.fault;

import holdfast.sim.link.ControlConnection.Damage;
import holdfast.sim.link.ControlConnection.Farewell;
import holdfast.sim.link.ControlConnection.Side;

/** What goes wrong, or what somebody does, in a schedule. */
public sealed interface Fault {
    /** A node dies with everything on it. */
    record Crash(Side side, Farewell farewell) implements Fault {}

    /** The control connection breaks. */
    record CutControl() implements Fault {}

    /** The bulk connection breaks. */
    record CutBulk() implements Fault {}

    /** The bulk connection breaks after exactly so many bytes. */
    record CutBulkAt(long bytes) implements Fault {}

    /** The disk connection breaks. */
    record CutDisk() implements Fault {}

    /** All connections break at once. */
    record CutAll() implements Fault {}

    /** Nothing reaches {@code toward} over the control connection for a while. */
    record StallControl(Side toward, long nanos) implements Fault {}

    /** Bulk stands still for a while. */
    record StallBulk(long nanos) implements Fault {}

    /** Disk writes stand still for a while. */
    record StallDisk(long nanos) implements Fault {}

    /** A bit of the bulk stream is inverted. */
    record FlipBulk(long bit) implements Fault {}

    /** A control message arrives damaged: the {@code index}-th toward {@code toward}. */
    record DamageControl(Side toward, long index, Damage damage) implements Fault {}

    /** The {@code nth} call at {@code site} fails, from 0. */
    record FailCall(Site site, long nth) implements Fault {}

    /** The domain's process dies on the primary. */
    record DomainDies() implements Fault {}

    /** The guest shuts itself down. */
    record DomainShutsDown() implements Fault {}

    /** The waiting standby dies. */
    record StandbyDies() implements Fault {}

    /** The operator ends protection. */
    record Unprotect() implements Fault {}

    /** The operator moves the domain to the secondary. */
    record FailOver() implements Fault {}

    /** Much output: the epoch is closed before its time. */
    record OutputFull() implements Fault {}

    /** A fault and its moment. */
    record Planned(Moment moment, Fault fault) {}
}
