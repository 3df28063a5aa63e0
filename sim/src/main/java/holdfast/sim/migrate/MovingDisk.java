package holdfast.sim.migrate;

import holdfast.engine.HypervisorException;
import holdfast.engine.migrate.DepartingDisks;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Random;
import java.util.function.Consumer;

/**
 * A moving guest's disk that the destination does not share: the source's image with a hypervisor's
 * mirror on it, what is queued for the destination, and the image there.
 */
final class MovingDisk implements DepartingDisks {
    private static final int SECTORS = 24;
    private static final int PIECE_SECTORS = 6;
    private static final int ITEMS_A_STEP = 3;

    /** What travels. */
    private sealed interface Item {
        record Write(int sector, long value) implements Item {}

        record Boundary(long epoch, int writes) implements Item {}
    }

    /** Where it lies. */
    interface World {
        /** To be done later, after what is to be done already. */
        void later(Runnable step);

        boolean sourceGuestRuns();

        boolean sourceActs();

        boolean connected();

        /** Whether the destination takes in what arrives. */
        boolean receiving();

        boolean destinationGuestRuns();

        /** As many boundaries are on the destination's stable storage. */
        void forced(int boundaries);

        /** What arrived breaks the protocol. */
        void violated(String reason);

        void destinationFails(String reason);
    }

    private final World world;
    private final long[] here = new long[SECTORS];
    private final long[] there = new long[SECTORS];
    private final ArrayDeque<Item> queue = new ArrayDeque<>();
    private long[] durable = new long[0];
    private Consumer<String> failed = _ -> {};
    private boolean mirroring;
    private boolean broken;
    private boolean discarding;
    private boolean draining;
    private boolean full;
    private boolean detachRefused;
    private int writesSinceBoundary;
    private int arrivedSinceBoundary;
    private int boundaries;

    MovingDisk(World world) {
        this.world = world;
        for (int sector = 0; sector < SECTORS; sector += 2) {
            here[sector] = sector + 1;
        }
    }

    /** A guest that runs writes. */
    void sourceGuestWrites(Random random) {
        int sector = random.nextInt(SECTORS);
        here[sector] = random.nextLong();
        if (mirroring) {
            forward(sector);
        }
    }

    void destinationGuestWrites(Random random) {
        there[random.nextInt(SECTORS)] = random.nextLong();
    }

    private void forward(int sector) {
        if (!discarding) {
            writesSinceBoundary++;
            put(new Item.Write(sector, here[sector]));
        }
    }

    private void put(Item item) {
        queue.add(item);
        if (!draining) {
            draining = true;
            world.later(this::drain);
        }
    }

    private void drain() {
        draining = false;
        for (int i = 0; i < ITEMS_A_STEP && !queue.isEmpty() && !discarding; i++) {
            Item item = queue.poll();
            if (world.connected() && world.receiving()) {
                arrive(item);
            }
        }
        if (!queue.isEmpty() && !discarding) {
            draining = true;
            world.later(this::drain);
        }
    }

    private void arrive(Item item) {
        if (world.destinationGuestRuns()) {
            throw new AssertionError("I1: the link writes the disk of a guest that runs: " + item);
        }
        if (full) {
            world.destinationFails("no space left on device");
            return;
        }
        switch (item) {
            case Item.Write(int sector, long value) -> {
                there[sector] = value;
                arrivedSinceBoundary++;
            }
            case Item.Boundary(long epoch, int writes) -> {
                if (writes != arrivedSinceBoundary || epoch != boundaries) {
                    world.violated("boundary " + epoch + " after " + arrivedSinceBoundary);
                    return;
                }
                arrivedSinceBoundary = 0;
                boundaries++;
                durable = there.clone();
                world.forced(boundaries);
            }
        }
    }

    @Override
    public void synchronise(Runnable synchronised, Consumer<String> whenItFails) {
        if (world.sourceActs()) {
            failed = whenItFails;
            mirroring = true;
            copy(0, synchronised);
        }
    }

    private void copy(int first, Runnable synchronised) {
        world.later(
                () -> {
                    if (!mirroring || !world.sourceActs()) {
                        return;
                    }
                    int end = Math.min(SECTORS, first + PIECE_SECTORS);
                    for (int sector = first; sector < end; sector++) {
                        forward(sector);
                    }
                    if (end < SECTORS) {
                        copy(end, synchronised);
                    } else {
                        synchronised.run();
                    }
                });
    }

    @Override
    public void closeEpoch(long epoch) {
        requireStandsStill("an epoch ends");
        if (!mirroring || broken) {
            throw new HypervisorException("blockdev-mirror", "writes have passed it by");
        }
        if (!discarding) {
            put(new Item.Boundary(epoch, writesSinceBoundary));
            writesSinceBoundary = 0;
        }
    }

    @Override
    public void detach() {
        requireStandsStill("the mirror is taken out");
        if (detachRefused) {
            detachRefused = false;
            throw new HypervisorException("block-job-cancel", "as planned");
        }
        mirroring = false;
    }

    /** The guest stands still for it, whatever it did before: the real one sees to that. */
    @Override
    public void close() {
        discard();
        mirroring = false;
    }

    private void requireStandsStill(String what) {
        if (world.sourceGuestRuns()) {
            throw new AssertionError(what + " while the guest runs");
        }
    }

    /** From here on nothing more leaves. */
    void discard() {
        discarding = true;
        queue.clear();
    }

    /** The daemon that served the mirror is gone: the job ends, the guest runs on. */
    void sourceDaemonDied() {
        discard();
        mirroring = false;
    }

    /** The mirror ends by itself; the guest's writes pass it by from here on. */
    void mirrorBreaks() {
        if (mirroring) {
            broken = true;
            mirroring = false;
            failed.accept("the mirror broke");
        }
    }

    void destinationFillsUp() {
        full = true;
    }

    void refuseDetachingOnce() {
        detachRefused = true;
    }

    boolean isMirrored() {
        return mirroring;
    }

    /** The source's image now. */
    long[] sourceImage() {
        return here.clone();
    }

    /** What must hold where the destination's guest is let run. */
    void requireWhole(String where) {
        int sector = Arrays.mismatch(here, there);
        if (sector >= 0) {
            throw new AssertionError("I3: disks differ at sector " + sector + ": " + where);
        }
        if (!Arrays.equals(there, durable)) {
            throw new AssertionError("the disk is not on stable storage: " + where);
        }
    }
}
