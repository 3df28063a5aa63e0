package holdfast.node.session;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.migrate.Arrival;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.DestinationEvent;
import holdfast.engine.migrate.DestinationOutcome;
import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.Storage;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.DiskWrites;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.node.link.AcceptCookie;
import holdfast.node.link.DiskStream;
import holdfast.node.link.MigrationAccepter;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/**
 * A guest without a hypervisor that is moved by the real sessions over real connections, and the
 * node that takes it in. Its copies know of each other: two that run are noticed at once.
 */
final class MovingGuests implements MigrationAccepter, AutoCloseable {
    static final int PAGES = 24;
    static final long GENERATION = 7;
    private static final int STATE_BYTES = 300;
    private static final int DISK_BYTES = 48 << 10;
    private static final int DISK_PIECE_BYTES = 8 << 10;
    private static final Duration ANSWER_LIMIT = Duration.ofSeconds(10);

    /** What one copy of the guest does. */
    enum Copy {
        RUNS,
        STANDS_STILL,
        GONE
    }

    static final FeaturePlan PLAN =
            FeaturePlan.of(
                    FeaturePlan.Policy.DEFAULT,
                    List.of(),
                    List.of(),
                    List.of(FeaturePlan.Part.NICS));

    private final Arena arena = Arena.ofShared();
    private final Random random = new Random(5);
    private final ConcurrentHashMap<UUID, Arriving> arriving = new ConcurrentHashMap<>();
    private final MemorySegment here = memory();
    private final byte[] diskHere = new byte[DISK_BYTES];
    private final Storage storage;
    private Copy source = Copy.RUNS;
    private Copy destination = Copy.GONE;
    private Optional<Arriving> there = Optional.empty();
    private String broken = "";

    /**
     * @param storage copied: the guest has a disk, too, which it writes until it is suspended
     */
    MovingGuests(Storage storage) {
        this.storage = storage;
        random.nextBytes(diskHere);
        for (int pfn = 0; pfn < PAGES; pfn += 2) {
            here.set(ValueLayout.JAVA_LONG, (long) pfn * GuestMemory.PAGE_BYTES, pfn + 1);
        }
    }

    synchronized Copy source() {
        return source;
    }

    synchronized Copy destination() {
        return destination;
    }

    /** What was seen that must never be; empty if nothing. */
    synchronized String broken() {
        return broken;
    }

    /** Whether the copy there has all that the one here had when it stopped. */
    synchronized boolean isWhole() {
        return there.filter(
                        copy ->
                                here.mismatch(copy.bytes) < 0
                                        && (storage == Storage.SHARED
                                                || Arrays.equals(diskHere, copy.disk)))
                .isPresent();
    }

    private synchronized void source(Copy now) {
        source = now;
        look();
    }

    private synchronized void destination(Copy now) {
        destination = now;
        look();
    }

    private void look() {
        if (source == Copy.RUNS && destination == Copy.RUNS) {
            broken = "both copies run";
        }
    }

    private MemorySegment memory() {
        return arena.allocate((long) PAGES * GuestMemory.PAGE_BYTES, GuestMemory.PAGE_BYTES);
    }

    @Override
    public Decision decide(
            LinkMessage.Hello peer, String address, LinkMessage.OpenMigration migration) {
        MemorySegment bytes = memory();
        Arriving arrival = new Arriving(migration, bytes);
        arriving.put(migration.migration(), arrival);
        return switch (storage) {
            case SHARED ->
                    arrival.session.accepted(
                            GuestMemory.over(bytes), Optional.empty(), Optional.empty());
            case COPIED ->
                    arrival.session.accepted(
                            GuestMemory.over(bytes),
                            Optional.of(
                                    new AcceptCookie(
                                            Cookies.VERSION,
                                            List.of(new AcceptCookie.Copy(0, DISK_BYTES, "/b")))),
                            Optional.of(arrival));
        };
    }

    @Override
    public Optional<LinkMessage.Answer> answer(
            LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
        Arriving arrival = arriving.get(inquiry.session());
        if (arrival == null) {
            return Optional.empty();
        }
        arrival.session.post(new DestinationEvent.SourceLost("it asks"));
        try {
            arrival.session.awaitEnd(ANSWER_LIMIT);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        Standing standing = arrival.standing;
        return Optional.of(
                new LinkMessage.Answer(
                        standing,
                        standing == Standing.TOOK_OVER ? GENERATION + 1 : 0,
                        "as written down"));
    }

    /** Waits until nothing is on its way to the destination any more. */
    boolean awaitArrivals(Duration limit) throws InterruptedException {
        for (Arriving each : arriving.values()) {
            if (!each.session.awaitEnd(limit)) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void close() {
        arena.close();
    }

    private final class Arriving implements Arrival, MigrationDestination.Listener, DiskWrites {
        private final MemorySegment bytes;
        private final byte[] disk = new byte[DISK_BYTES];
        private final MigrationDestination session;
        private volatile Standing standing = Standing.UNDECIDED;
        private long offeredBytes;

        Arriving(LinkMessage.OpenMigration migration, MemorySegment bytes) {
            this.bytes = bytes;
            this.session = new MigrationDestination(migration, "a", "a", PLAN, storage, this, this);
        }

        @Override
        public void write(int index, long offsetBytes, ByteBuffer data) {
            data.get(disk, (int) offsetBytes, data.remaining());
        }

        @Override
        public void writeZeroes(int index, long offsetBytes, long lengthBytes) {
            Arrays.fill(disk, (int) offsetBytes, (int) (offsetBytes + lengthBytes), (byte) 0);
        }

        @Override
        public void boundary(long epoch) {}

        @Override
        public Cookies.Prepared prepare() {
            destination(Copy.STANDS_STILL);
            return new Cookies.Prepared(Cookies.VERSION, "b", "none", List.of());
        }

        @Override
        public void offerBase(MemorySegment base) {}

        @Override
        public void offerSections(MemorySegment base, MemorySegment part) {
            offeredBytes += part.byteSize();
        }

        @Override
        public FeatureReport bringUp(Feature feature) {
            if (feature.name().equals(Feature.DEVICES) && offeredBytes != STATE_BYTES) {
                throw new AssertionError("only " + offeredBytes + " bytes of state were offered");
            }
            return new FeatureReport(
                    feature.name(), feature.necessity(), FeatureReport.Result.UP, "", 0);
        }

        @Override
        public FeatureReport takeDown(FeatureReport up) {
            return new FeatureReport(up.name(), up.necessity(), FeatureReport.Result.DOWN, "", 0);
        }

        @Override
        public Run run(long generation) {
            standing = Standing.TOOK_OVER;
            synchronized (MovingGuests.this) {
                there = Optional.of(this);
            }
            destination(Copy.RUNS);
            return new Run.Ran(new Guest());
        }

        @Override
        public void settle(Domain domain) {}

        @Override
        public List<FeatureReport> discard(String reason, List<FeatureReport> reports) {
            destination(Copy.GONE);
            standing = Standing.DISCARDED;
            return reports;
        }

        @Override
        public void changed() {}

        @Override
        public void finished(DestinationOutcome outcome, Optional<Domain> domain) {}

        @Override
        public void broken(RuntimeException failure) {
            synchronized (MovingGuests.this) {
                broken = "the destination broke: " + failure;
            }
        }
    }

    /** The copy here. */
    ProtectedGuest leaving() {
        return new Leaving();
    }

    /** Its disk, where that is copied. */
    Optional<MigrationSource.Disks> departing(
            List<AcceptCookie.Copy> copies, Optional<DiskStream> stream) {
        return stream.map(DepartingDisk::new);
    }

    /** Copied in pieces; then the guest writes before each boundary. */
    private final class DepartingDisk implements MigrationSource.Disks {
        private final DiskStream stream;
        private int writes;

        DepartingDisk(DiskStream stream) {
            this.stream = stream;
        }

        @Override
        public void synchronise(Runnable synchronised, Consumer<String> failed) {
            for (int at = 0; at < DISK_BYTES; at += DISK_PIECE_BYTES) {
                stream.write(0, at, ByteBuffer.wrap(diskHere, at, DISK_PIECE_BYTES));
            }
            synchronised.run();
        }

        @Override
        public void closeEpoch(long epoch) {
            int at = 512 * writes++;
            random.nextBytes(diskHere);
            stream.write(0, 0, ByteBuffer.wrap(diskHere.clone()));
            Arrays.fill(diskHere, at, at + 512, (byte) 0);
            stream.writeZeroes(0, at, 512);
            stream.boundary(epoch);
        }

        @Override
        public void detach() {}

        @Override
        public List<ProtectedGuest.DiskFigures> figures() {
            return List.of();
        }

        @Override
        public void close() {}
    }

    private final class Leaving implements ProtectedGuest {
        @Override
        public Domain domain() {
            return new Guest();
        }

        @Override
        public GuestMemory memory() {
            return GuestMemory.over(here);
        }

        @Override
        public Tracking openTracker() {
            return new Tracking(new Tracker(), "exact", List.of());
        }

        @Override
        public Forwarding forwardDisks(DiskStream stream) {
            throw new IllegalStateException("a migration forwards none");
        }

        @Override
        public OutputGate holdOutput(Runnable pressure, InboundCopy inbound) {
            throw new IllegalStateException("a migration holds none");
        }
    }

    /** While the guest runs it writes between any two looks. */
    private final class Tracker implements DirtyTracker {
        @Override
        public String kind() {
            return "exact";
        }

        @Override
        public void collect(PfnSet into) {
            if (source() != Copy.RUNS) {
                return;
            }
            for (int i = 0; i < 3; i++) {
                int pfn = random.nextInt(PAGES);
                here.set(
                        ValueLayout.JAVA_LONG,
                        (long) pfn * GuestMemory.PAGE_BYTES + 8L * i,
                        random.nextLong());
                into.add(pfn);
            }
        }

        @Override
        public void close() {}
    }

    private final class Guest implements Domain {
        private final MemorySegment state = arena.allocate(STATE_BYTES);

        @Override
        public String name() {
            return "guest";
        }

        @Override
        public void suspend() {
            source(Copy.STANDS_STILL);
        }

        @Override
        public void resume() {
            if (source() == Copy.GONE) {
                throw new HypervisorException("cont", "the process is gone");
            }
            source(Copy.RUNS);
        }

        @Override
        public void destroy() {
            source(Copy.GONE);
        }

        @Override
        public DeviceState saveDeviceState() {
            return new DeviceState(new DeviceState.DeviceBase(1, state), state);
        }
    }
}
