package holdfast.sim.world;

import holdfast.engine.port.GuestMemory;
import holdfast.sim.check.Violation;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.guest.GuestImage;
import holdfast.sim.guest.SimDisk;
import holdfast.sim.guest.SimGuest;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;

/** The primary's memory, disk and device state at the end of each epoch, as it truly was. */
final class Snapshots {
    private record Snapshot(
            MemorySegment memory, MemorySegment sections, MemorySegment base, long[] disk) {}

    private final TreeMap<Long, Snapshot> byEpoch = new TreeMap<>();
    private long newest = -1;
    private Optional<Snapshot> pending = Optional.empty();

    /** The guest stands and its state was saved. */
    void take(SimGuest guest, MemorySegment sections) {
        MemorySegment memory = guest.memory().bytes();
        pending =
                Optional.of(
                        new Snapshot(
                                MemorySegment.ofArray(memory.toArray(ValueLayout.JAVA_LONG)),
                                MemorySegment.ofArray(sections.toArray(ValueLayout.JAVA_BYTE)),
                                guest.base(),
                                guest.disk().content()));
    }

    /** The last epoch that ended, or -1. */
    long newest() {
        return newest;
    }

    /** What was taken last is the end of {@code epoch}. */
    void assign(long epoch) {
        newest = epoch;
        byEpoch.put(epoch, pending.orElseThrow());
    }

    /** Older epochs are of no interest. */
    void committed(long epoch) {
        byEpoch.headMap(epoch, false).clear();
    }

    OptionalLong answer(long epoch, long number) {
        Snapshot snapshot = byEpoch.get(epoch);
        return snapshot == null
                ? OptionalLong.empty()
                : GuestImage.answer(snapshot.memory(), number);
    }

    /** I3 for the replica. */
    void compareMemory(long epoch, MemorySegment replica) {
        long differs = replica.mismatch(of(epoch).memory());
        if (differs >= 0) {
            throw new Violation(
                    Invariant.I3,
                    "the replica is not the primary's memory at the end of epoch "
                            + epoch
                            + ": first difference at pfn "
                            + differs / GuestMemory.PAGE_BYTES
                            + ", byte "
                            + differs % GuestMemory.PAGE_BYTES);
        }
    }

    /** I3 for the disk. */
    void compareDisk(long epoch, SimDisk image) {
        long differs = image.mismatch(of(epoch).disk());
        if (differs >= 0) {
            throw new Violation(
                    Invariant.I3,
                    "the replica's disk is not the primary's at the end of epoch "
                            + epoch
                            + ": first difference at sector "
                            + differs);
        }
    }

    /** I3 for the device state. */
    void compareDevices(long epoch, MemorySegment base, MemorySegment sections) {
        Snapshot snapshot = of(epoch);
        if (sections.mismatch(snapshot.sections()) >= 0) {
            throw new Violation(
                    Invariant.I3,
                    "the survivor's device state is not that of the end of epoch " + epoch);
        }
        if (base.mismatch(snapshot.base()) >= 0) {
            throw new Violation(
                    Invariant.I3,
                    "the survivor's video memory is not that of the end of epoch " + epoch);
        }
    }

    private Snapshot of(long epoch) {
        Snapshot snapshot = byEpoch.get(epoch);
        if (snapshot == null) {
            throw new Violation(
                    Invariant.I3,
                    "epoch " + epoch + " was committed, but no such one was captured");
        }
        return snapshot;
    }
}
