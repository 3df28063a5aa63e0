package holdfast.sim.world;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.ForwardedDisks;
import holdfast.sim.fault.CallFaults;
import holdfast.sim.fault.Site;
import holdfast.sim.guest.SimDisk;
import holdfast.sim.link.DiskPath;
import holdfast.sim.time.VirtualTime;

import java.util.SplittableRandom;
import java.util.function.Consumer;

/** The primary's disk with a hypervisor's mirror on it, which may fail at any write. */
final class MirroredDisk implements ForwardedDisks {
    private static final int PIECE_SECTORS = 16;
    private static final long PIECE_NANOS = 300_000;

    private final SimNode node;
    private final SimDisk disk;
    private final DiskPath path;
    private final VirtualTime time;
    private final SplittableRandom random;
    private final CallFaults calls;
    private Consumer<String> failed = _ -> {};
    private boolean mirroring;
    private boolean closed;

    MirroredDisk(
            SimNode node,
            SimDisk disk,
            DiskPath path,
            VirtualTime time,
            SplittableRandom random,
            CallFaults calls) {
        this.node = node;
        this.disk = disk;
        this.path = path;
        this.time = time;
        this.random = random;
        this.calls = calls;
    }

    @Override
    public void synchronise(Runnable synchronised, Consumer<String> whenFailed) {
        if (node.acts()) {
            calls.call(Site.DISKS_SYNCHRONISE);
            failed = whenFailed;
            mirroring = true;
            disk.watch(this::forward);
            copy(0, synchronised);
        }
    }

    private void copy(int first, Runnable synchronised) {
        time.after(
                random.nextLong(PIECE_NANOS),
                () -> {
                    if (!mirroring || !node.alive()) {
                        return;
                    }
                    int end = Math.min(SimDisk.SECTORS, first + PIECE_SECTORS);
                    for (int sector = first; sector < end && mirroring; sector++) {
                        forward(sector);
                    }
                    if (end < SimDisk.SECTORS) {
                        copy(end, synchronised);
                    } else if (mirroring) {
                        synchronised.run();
                    }
                });
    }

    /** A write that the mirror does not get rid of is done all the same: the guest never knows. */
    private void forward(long sector) {
        if (!mirroring || !node.alive()) {
            return;
        }
        try {
            calls.call(Site.DISKS_FORWARD);
        } catch (HypervisorException e) {
            mirroring = false;
            failed.accept(e.getMessage());
            return;
        }
        path.write(sector, disk.read(sector));
    }

    @Override
    public void closeEpoch(long epoch) {
        if (node.acts()) {
            calls.call(Site.DISKS_CLOSE_EPOCH);
            if (!mirroring) {
                throw new HypervisorException("mirror", "writes have passed it by");
            }
            path.boundary(epoch);
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        path.discard();
        if (node.acts()) {
            calls.call(Site.DISKS_CLOSE);
        }
        closed = true;
        mirroring = false;
        disk.watch(_ -> {});
    }
}
