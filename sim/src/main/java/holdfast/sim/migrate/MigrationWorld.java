package holdfast.sim.migrate;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.memory.LocalPipe;
import holdfast.engine.memory.PageReceiver;
import holdfast.engine.memory.PageSender;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.migrate.Arrival;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.DestinationEvent;
import holdfast.engine.migrate.DestinationLink;
import holdfast.engine.migrate.DestinationMachine;
import holdfast.engine.migrate.DestinationObserver;
import holdfast.engine.migrate.DestinationOutcome;
import holdfast.engine.migrate.DestinationSession;
import holdfast.engine.migrate.DestinationState;
import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.IncomingPages;
import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.engine.migrate.SourceEvent;
import holdfast.engine.migrate.SourceLink;
import holdfast.engine.migrate.SourceMachine;
import holdfast.engine.migrate.SourceObserver;
import holdfast.engine.migrate.SourceOutcome;
import holdfast.engine.migrate.SourceSession;
import holdfast.engine.migrate.SourceState;
import holdfast.engine.migrate.Storage;
import holdfast.engine.migrate.ThrottledGuest;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.PrimaryLink;
import holdfast.engine.port.StateSave;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;

/** One migration with one fault. Everything happens in the caller's thread, in a fixed order. */
public final class MigrationWorld {
    private static final int PAGES = 48;
    private static final int STEPS_MAX = 2_000;
    private static final int STATE_BYTES = 256;

    /** What one copy of the guest does. */
    public enum Copy {
        RUNS,
        STANDS_STILL,
        /** Its process is gone. */
        GONE
    }

    /** What the destination has on its disk about the migration. */
    private enum Record {
        NONE,
        UNDECIDED,
        TOOK_OVER,
        DISCARDED
    }

    /**
     * How it ended.
     *
     * @param steps that happened
     * @param undecided a state that names who holds the generation, where no copy runs
     * @param reports what became of the features, as the source knows it
     */
    public record End(
            int steps,
            Copy source,
            Copy destination,
            Optional<String> undecided,
            List<FeatureReport> reports,
            List<String> hooks) {
        public End {
            reports = List.copyOf(reports);
            hooks = List.copyOf(hooks);
        }
    }

    /**
     * @param fault what goes wrong
     * @param afterStep when, counted from 0
     * @param initFails features that cannot be brought up
     * @param deinitFails features that cannot be taken down
     * @param seed for what the guest writes
     * @param storage whether its disk moves with it
     */
    public record Plan(
            FeaturePlan features,
            MigrationFault fault,
            int afterStep,
            Set<String> initFails,
            Set<String> deinitFails,
            long seed,
            Storage storage) {
        public Plan {
            initFails = Set.copyOf(initFails);
            deinitFails = Set.copyOf(deinitFails);
        }

        /** On shared storage. */
        public Plan(
                FeaturePlan features,
                MigrationFault fault,
                int afterStep,
                Set<String> initFails,
                Set<String> deinitFails,
                long seed) {
            this(features, fault, afterStep, initFails, deinitFails, seed, Storage.SHARED);
        }
    }

    private final Plan plan;
    private final Random random;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment here = memory();
    private final MemorySegment there = memory();
    private final ArrayDeque<Runnable> steps = new ArrayDeque<>();
    private final List<String> hooks = new ArrayList<>();
    private final LocalPipe pipe = new LocalPipe(1 << 18);
    private final PageReceiver receiver = new PageReceiver(GuestMemory.over(there), pipe);
    private final MovingDisk disk = new MovingDisk(new DiskPlace());
    private final SourceSession source;
    private final DestinationSession destination;
    private Copy sourceCopy = Copy.RUNS;
    private Copy destinationCopy = Copy.GONE;
    private Record record = Record.NONE;
    private boolean sourceDaemon = true;
    private boolean destinationDaemon = true;
    private boolean linked = true;
    private boolean reachable = true;
    private boolean destinationHostDied;
    private boolean sourceHostDied;
    private boolean faulted;
    private boolean resumeRefused;
    private boolean saved;
    private boolean looked;
    private boolean handedOver;
    private boolean receiving = true;
    private int steppedCount;
    private long generation;
    private Optional<long[]> leftImage = Optional.empty();
    private Optional<SourceOutcome> outcome = Optional.empty();
    private Optional<String> undecided = Optional.empty();

    private MigrationWorld(Plan plan) {
        this.plan = plan;
        this.random = new Random(plan.seed());
        for (int pfn = 0; pfn < PAGES; pfn++) {
            if (pfn % 3 != 0) {
                here.set(ValueLayout.JAVA_LONG, (long) pfn * GuestMemory.PAGE_BYTES, pfn + 1);
            }
        }
        source =
                new SourceSession(
                        new SourceMachine(
                                new PrecopyPolicy(1, 3, PrecopyPolicy.Convergence.AS_IS),
                                plan.features(),
                                7),
                        new SourceSession.Deadlines(1, 1, 1, 1, 1),
                        new SourceSession.Ports(
                                new SourceGuest(),
                                GuestMemory.over(here),
                                new Tracker(),
                                ThrottledGuest.unthrottled(),
                                new ToDestination(),
                                List.of(new PageSender(PAGES, PAGES, pipe)),
                                this::ask,
                                this::after,
                                () -> 0,
                                new SourceSide(),
                                plan.storage() == Storage.COPIED
                                        ? Optional.of(disk)
                                        : Optional.empty()),
                        this::toSource);
        destination =
                new DestinationSession(
                        new DestinationMachine(plan.features(), 7, plan.storage()),
                        new DestinationSession.Ports(
                                new Arriving(),
                                new ToSource(),
                                new Pages(),
                                () -> 0,
                                new DestinationSide()));
    }

    /**
     * Runs one migration to its end.
     *
     * @throws AssertionError if a promise was broken
     */
    public static End run(Plan plan) {
        MigrationWorld world = new MigrationWorld(plan);
        try (world.arena) {
            return world.run();
        }
    }

    private End run() {
        steps.add(source::start);
        steps.add(destination::start);
        while (true) {
            if (!faulted && steppedCount >= plan.afterStep()) {
                faulted = true;
                strike();
                check();
            }
            Runnable step = steps.poll();
            if (step == null) {
                if (!settle()) {
                    break;
                }
                continue;
            }
            step.run();
            steppedCount++;
            guestsWrite();
            check();
            if (steppedCount > STEPS_MAX) {
                throw new AssertionError("no end after " + STEPS_MAX + " steps: " + describe());
            }
        }
        checkEnd();
        return new End(
                steppedCount,
                sourceCopy,
                destinationCopy,
                undecided,
                outcome.map(SourceOutcome::reports).orElse(List.of()),
                hooks);
    }

    private void guestsWrite() {
        if (sourceCopy == Copy.RUNS) {
            disk.sourceGuestWrites(random);
        }
        if (destinationCopy == Copy.RUNS) {
            disk.destinationGuestWrites(random);
        }
    }

    private void strike() {
        switch (plan.fault()) {
            case NONE,
                    RUN_REFUSED,
                    RUN_UNKNOWN,
                    RESUME_REFUSED_ONCE,
                    SAVE_FAILS,
                    SAVE_WRITES,
                    BYTES_DAMAGED -> {}
            case SOURCE_DAEMON_DIES -> killSourceDaemon();
            case SOURCE_GUEST_DIES -> {
                sourceCopy = Copy.GONE;
                toSource(new SourceEvent.DomainEnded("killed"));
            }
            case SOURCE_GUEST_DIES_LINK_BREAKS -> {
                sourceCopy = Copy.GONE;
                toSource(new SourceEvent.DomainEnded("killed"));
                breakLink("cut");
            }
            case SOURCE_HOST_DIES -> {
                sourceHostDied = true;
                sourceCopy = Copy.GONE;
                killSourceDaemon();
            }
            case DESTINATION_DAEMON_DIES, RUN_REFUSED_AND_DAEMON_DIES -> killDestinationDaemon();
            case DESTINATION_GUEST_DIES -> {
                if (destinationCopy != Copy.GONE) {
                    destinationHostDied |= destinationCopy == Copy.RUNS;
                    destinationCopy = Copy.GONE;
                    toDestination(new DestinationEvent.Failed("killed"));
                }
            }
            case DESTINATION_HOST_DIES -> {
                destinationHostDied = true;
                destinationCopy = Copy.GONE;
                killDestinationDaemon();
            }
            case LINK_BREAKS -> breakLink("cut");
            case NETWORK_BREAKS -> {
                reachable = false;
                breakLink("cut");
            }
            case CANCELLED -> toSource(new SourceEvent.Cancel("the operator"));
            case MIRROR_BREAKS -> disk.mirrorBreaks();
            case DETACH_REFUSED_ONCE -> disk.refuseDetachingOnce();
            case DESTINATION_DISK_FULL -> disk.destinationFillsUp();
            case DISK_CONNECTION_BREAKS -> {
                if (plan.storage() == Storage.COPIED && receiving) {
                    disk.discard();
                    toSource(new SourceEvent.SessionFailed("the disk connection broke"));
                    toDestination(new DestinationEvent.SourceViolated("the disk connection ended"));
                }
            }
        }
    }

    private void killSourceDaemon() {
        sourceDaemon = false;
        disk.sourceDaemonDied();
        breakLink("the source's daemon is gone");
    }

    private void killDestinationDaemon() {
        destinationDaemon = false;
        receiving = false;
        breakLink("the destination's daemon is gone");
    }

    private void breakLink(String reason) {
        if (linked) {
            linked = false;
            disk.discard();
            toSource(new SourceEvent.PeerLost(reason));
            toDestination(new DestinationEvent.SourceLost(reason));
        }
    }

    /** Nothing is left to happen by itself: daemons that died come back. Whether that was all. */
    private boolean settle() {
        if (!destinationDaemon) {
            destinationDaemon = true;
            recoverDestination();
            return true;
        }
        if (!sourceDaemon) {
            sourceDaemon = true;
            recoverSource();
            return true;
        }
        if (!reachable) {
            if (source.state() instanceof SourceState.Asking(SourceState.Handover held, var _)
                    && outcome.isEmpty()) {
                undecided =
                        Optional.of("generation " + held.generation() + " is the destination's");
            }
            reachable = true;
            if (source.state() instanceof SourceState.Asking(SourceState.Handover held, var _)
                    && outcome.isEmpty()) {
                ask(held);
                return true;
            }
        }
        return false;
    }

    /** What a daemon does that finds a domain which was on its way here. */
    private void recoverDestination() {
        if (record == Record.TOOK_OVER && destinationCopy != Copy.GONE) {
            destinationCopy = Copy.RUNS;
        } else if (record == Record.TOOK_OVER) {
            destinationHostDied = true;
        } else if (record == Record.UNDECIDED) {
            destinationCopy = Copy.GONE;
            record = Record.DISCARDED;
        }
        if (source.state() instanceof SourceState.Asking(SourceState.Handover held, var _)) {
            ask(held);
        }
    }

    /** What a daemon does that finds a domain which was on its way elsewhere. */
    private void recoverSource() {
        switch (sourceCopy) {
            // It runs: it was never handed over.
            case RUNS, GONE -> {}
            case STANDS_STILL -> {
                switch (record) {
                    case TOOK_OVER -> sourceCopy = Copy.GONE;
                    case DISCARDED, NONE -> sourceCopy = Copy.RUNS;
                    case UNDECIDED -> undecided = Optional.of("the destination does not know");
                }
            }
        }
    }

    private void ask(SourceState.Handover held) {
        steps.add(
                () -> {
                    if (!sourceDaemon || outcome.isPresent()) {
                        return;
                    }
                    if (!reachable || !destinationDaemon) {
                        // It asks again and again; the world asks when something has changed.
                        return;
                    }
                    toDestination(new DestinationEvent.SourceLost("it asks"));
                    steps.add(
                            () -> {
                                switch (record) {
                                    case TOOK_OVER ->
                                            toSource(
                                                    new SourceEvent.PeerTookOver(
                                                            held.generation(), "it says so"));
                                    case DISCARDED, NONE ->
                                            toSource(
                                                    new SourceEvent.PeerRolledBack(
                                                            new Cookies.RolledBack(
                                                                    Cookies.VERSION,
                                                                    "it says so",
                                                                    List.of())));
                                    case UNDECIDED ->
                                            undecided =
                                                    Optional.of(
                                                            "generation "
                                                                    + held.generation()
                                                                    + ": the destination does not"
                                                                    + " know whether it ran");
                                }
                            });
                });
    }

    private void check() {
        if (sourceCopy == Copy.RUNS && destinationCopy == Copy.RUNS) {
            throw new AssertionError("I1: both copies run: " + describe());
        }
        if (destinationCopy == Copy.RUNS && record != Record.TOOK_OVER) {
            throw new AssertionError("it runs and that is not written down: " + describe());
        }
        if (handedOver && sourceCopy == Copy.RUNS && record == Record.TOOK_OVER) {
            throw new AssertionError("a domain that was taken over runs again: " + describe());
        }
        if (record == Record.TOOK_OVER
                && leftImage.isPresent()
                && !Arrays.equals(leftImage.get(), disk.sourceImage())) {
            throw new AssertionError("I1: the source's image is written still: " + describe());
        }
    }

    private void checkEnd() {
        boolean somewhere = sourceCopy == Copy.RUNS || destinationCopy == Copy.RUNS;
        boolean died =
                sourceHostDied
                        || destinationHostDied
                        || plan.fault() == MigrationFault.SOURCE_GUEST_DIES
                        || plan.fault() == MigrationFault.SOURCE_GUEST_DIES_LINK_BREAKS;
        if (!somewhere && !died && undecided.isEmpty()) {
            throw new AssertionError("I4: it runs nowhere: " + describe());
        }
        if (sourceCopy == Copy.RUNS && disk.isMirrored()) {
            throw new AssertionError("the disk is mirrored still: " + describe());
        }
        if (destinationCopy == Copy.RUNS && here.mismatch(there) >= 0) {
            throw new AssertionError(
                    "I3: memory differs at byte " + here.mismatch(there) + ": " + describe());
        }
    }

    private String describe() {
        return plan
                + " step "
                + steppedCount
                + ": source "
                + sourceCopy
                + " "
                + source.state()
                + ", destination "
                + destinationCopy
                + " "
                + destination.state()
                + ", written down "
                + record;
    }

    private void toSource(SourceEvent event) {
        steps.add(
                () -> {
                    if (sourceDaemon) {
                        source.handle(event);
                    }
                });
    }

    private void toDestination(DestinationEvent event) {
        steps.add(
                () -> {
                    if (destinationDaemon) {
                        destination.handle(event);
                    }
                });
    }

    /** A message that arrives unless the link broke before. */
    private void send(Runnable arrival) {
        if (!linked) {
            return;
        }
        steps.add(
                () -> {
                    if (linked) {
                        arrival.run();
                    }
                });
    }

    private void after(long nanos, SourceEvent event) {
        // Deadlines are for what hangs; nothing hangs here, so only a retry's pause ends.
        if (event instanceof SourceEvent.ResumeAgain) {
            toSource(event);
        }
    }

    private MemorySegment memory() {
        return arena.allocate((long) PAGES * GuestMemory.PAGE_BYTES, GuestMemory.PAGE_BYTES);
    }

    private final class SourceGuest implements Domain {
        private final MemorySegment state = arena.allocate(STATE_BYTES);

        @Override
        public String name() {
            return "guest";
        }

        @Override
        public void suspend() {
            requireProcess("stop");
            sourceCopy = Copy.STANDS_STILL;
        }

        @Override
        public void resume() {
            requireProcess("cont");
            boolean back =
                    source.state() instanceof SourceState.Resuming
                            || source.state() instanceof SourceState.GivenBack;
            if (back && disk.isMirrored()) {
                throw new AssertionError("it goes on with its disk mirrored: " + describe());
            }
            if (plan.fault() == MigrationFault.RESUME_REFUSED_ONCE && !resumeRefused) {
                resumeRefused = true;
                throw new HypervisorException("cont", "the image is locked");
            }
            sourceCopy = Copy.RUNS;
        }

        @Override
        public void destroy() {
            sourceCopy = Copy.GONE;
        }

        @Override
        public DeviceState saveDeviceState() {
            requireProcess("save");
            return new DeviceState(new DeviceState.DeviceBase(1, state), state);
        }

        @Override
        public StateSave beginHandOver() {
            if (plan.fault() == MigrationFault.SAVE_FAILS) {
                throw new HypervisorException("save", "no room");
            }
            if (disk.isMirrored()) {
                throw new AssertionError("images are let go of while mirrored: " + describe());
            }
            saved = plan.fault() == MigrationFault.SAVE_WRITES;
            return new InParts(saveDeviceState());
        }

        private void requireProcess(String command) {
            if (sourceCopy == Copy.GONE) {
                throw new HypervisorException(command, "the process is gone");
            }
        }
    }

    /** A state that comes in two parts. */
    private static final class InParts implements StateSave {
        private final DeviceState state;
        private long returned;

        InParts(DeviceState state) {
            this.state = state;
        }

        @Override
        public DeviceState.DeviceBase base() {
            return state.base();
        }

        @Override
        public Optional<MemorySegment> next() {
            MemorySegment left = state.sections().asSlice(returned);
            MemorySegment part = left.asSlice(0, Math.min(left.byteSize(), STATE_BYTES / 2 + 1));
            returned += part.byteSize();
            return Optional.of(part).filter(some -> some.byteSize() > 0);
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
            if (sourceCopy != Copy.RUNS) {
                // The look beside the save sees nothing yet, the one behind it does.
                if (saved && looked) {
                    here.set(ValueLayout.JAVA_LONG, 0, random.nextLong());
                    into.add(0);
                }
                looked = saved;
                return;
            }
            for (int i = 0; i < 6; i++) {
                int pfn = random.nextInt(PAGES);
                long at = (long) pfn * GuestMemory.PAGE_BYTES + 8L * random.nextInt(512);
                here.set(ValueLayout.JAVA_LONG, at, random.nextInt(4) == 0 ? 0 : random.nextLong());
                into.add(pfn);
            }
        }

        @Override
        public void close() {}
    }

    private final class ToDestination implements SourceLink {
        @Override
        public int connections() {
            return 1;
        }

        @Override
        public void transmit(int connection, PrimaryLink.BulkPiece piece) {
            steps.add(
                    () -> {
                        if (!linked || !sourceDaemon || outcome.isPresent()) {
                            return;
                        }
                        try {
                            piece.write();
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    });
        }

        @Override
        public void performed(List<CheckpointDigest> streams, Cookies.Performed cookie) {
            if (plan.fault() == MigrationFault.BYTES_DAMAGED) {
                damage(pipe.unread());
            }
            send(MigrationWorld.this::receive);
            send(() -> toDestination(new DestinationEvent.SourcePerformed(streams, cookie)));
        }

        @Override
        public void handOver(long next) {
            handedOver = true;
            generation = next;
            send(() -> toDestination(new DestinationEvent.SourceHandedOver(next)));
        }

        @Override
        public void cancel(String reason) {
            send(() -> toDestination(new DestinationEvent.SourceCancelled(reason)));
        }

        @Override
        public void close() {
            breakLink("closed");
        }
    }

    /** Flips a bit. */
    private static void damage(ByteBuffer bytes) {
        int last = bytes.limit() - 1;
        if (last >= 0) {
            bytes.put(last, (byte) (bytes.get(last) ^ 1));
        }
    }

    private void receive() {
        if (!receiving) {
            return;
        }
        try {
            while (true) {
                switch (receiver.next()) {
                    case PageReceiver.Read.Base _ ->
                            toDestination(new DestinationEvent.BaseArrived());
                    case PageReceiver.Read.Sections(MemorySegment part) ->
                            toDestination(new DestinationEvent.SectionsArrived(part));
                    case PageReceiver.Read.Whole(CheckpointDigest digest) -> {
                        toDestination(new DestinationEvent.StreamsWhole(List.of(digest)));
                        return;
                    }
                    case PageReceiver.Read.Ended _ -> {
                        return;
                    }
                }
            }
        } catch (holdfast.wire.ProtocolException e) {
            toDestination(new DestinationEvent.SourceViolated(e.getMessage()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private final class Pages implements IncomingPages {
        private boolean closed;

        @Override
        public Optional<MemorySegment> base() {
            return receiver.base();
        }

        @Override
        public void close() {
            receiving = false;
            if (!closed) {
                closed = true;
                receiver.close();
            }
        }
    }

    private final class ToSource implements DestinationLink {
        @Override
        public void prepared(Cookies.Prepared cookie) {
            send(() -> toSource(new SourceEvent.PeerPrepared(cookie)));
        }

        @Override
        public void finished(Cookies.Finished cookie) {
            send(() -> toSource(new SourceEvent.PeerFinished(cookie)));
        }

        @Override
        public void takenOver(Cookies.TakenOver cookie) {
            send(
                    () ->
                            toSource(
                                    new SourceEvent.PeerTookOver(
                                            cookie.generation(), "it runs there")));
        }

        @Override
        public void rolledBack(Cookies.RolledBack cookie) {
            send(() -> toSource(new SourceEvent.PeerRolledBack(cookie)));
        }

        @Override
        public void stopReceiving() {
            receiving = false;
        }

        /** Says what is queued first, as the real one does. */
        @Override
        public void close() {
            send(() -> breakLink("closed"));
        }
    }

    private final class Arriving implements Arrival {
        private long offeredBytes;

        @Override
        public Cookies.Prepared prepare() {
            destinationCopy = Copy.STANDS_STILL;
            record = Record.UNDECIDED;
            return new Cookies.Prepared(Cookies.VERSION, "b", "sim", List.of());
        }

        @Override
        public void offerBase(MemorySegment base) {}

        @Override
        public void offerSections(MemorySegment base, MemorySegment part) {
            if (sourceCopy == Copy.STANDS_STILL && here.mismatch(there) >= 0) {
                throw new AssertionError(
                        "I3: devices are loaded over memory that differs at byte "
                                + here.mismatch(there)
                                + ": "
                                + describe());
            }
            offeredBytes += part.byteSize();
        }

        @Override
        public FeatureReport bringUp(Feature feature) {
            if (feature.name().equals(Feature.DEVICES) && offeredBytes != STATE_BYTES) {
                throw new AssertionError("a part of the state is loaded: " + describe());
            }
            boolean fails =
                    plan.initFails().contains(feature.name()) || destinationCopy == Copy.GONE;
            hooks.add("init " + feature.name());
            return new FeatureReport(
                    feature.name(),
                    feature.necessity(),
                    fails ? FeatureReport.Result.FAILED : FeatureReport.Result.UP,
                    fails ? "as planned" : "",
                    0);
        }

        @Override
        public FeatureReport takeDown(FeatureReport up) {
            hooks.add("deinit " + up.name());
            return new FeatureReport(
                    up.name(),
                    up.necessity(),
                    plan.deinitFails().contains(up.name())
                            ? FeatureReport.Result.DOWN_FAILED
                            : FeatureReport.Result.DOWN,
                    "",
                    0);
        }

        @Override
        public Run run(long next) {
            if (next != generation) {
                throw new AssertionError("handed over " + generation + ", run with " + next);
            }
            if (plan.storage() == Storage.COPIED) {
                disk.requireWhole(describe());
                leftImage = Optional.of(disk.sourceImage());
            }
            record = Record.TOOK_OVER;
            if (plan.fault() == MigrationFault.RUN_REFUSED
                    || plan.fault() == MigrationFault.RUN_REFUSED_AND_DAEMON_DIES) {
                destinationCopy = Copy.GONE;
                // Before anything else: a daemon that dies now must not leave it taken.
                record = Record.UNDECIDED;
                return new Run.NeverRan("as planned");
            }
            if (plan.fault() == MigrationFault.RUN_UNKNOWN || destinationCopy == Copy.GONE) {
                destinationCopy = Copy.GONE;
                record = Record.UNDECIDED;
                return new Run.MayHaveRun("as planned");
            }
            destinationCopy = Copy.RUNS;
            return new Run.Ran(new SourceGuest());
        }

        @Override
        public void settle(Domain domain) {}

        @Override
        public List<FeatureReport> discard(String reason, List<FeatureReport> reports) {
            destinationCopy = Copy.GONE;
            record = Record.DISCARDED;
            return reports;
        }
    }

    private final class DiskPlace implements MovingDisk.World {
        @Override
        public void later(Runnable step) {
            steps.add(step);
        }

        @Override
        public boolean sourceGuestRuns() {
            return sourceCopy == Copy.RUNS;
        }

        @Override
        public boolean sourceActs() {
            return sourceDaemon && sourceCopy != Copy.GONE;
        }

        @Override
        public boolean connected() {
            return linked;
        }

        @Override
        public boolean receiving() {
            return receiving && destinationDaemon;
        }

        @Override
        public boolean destinationGuestRuns() {
            return destinationCopy == Copy.RUNS;
        }

        @Override
        public void forced(int boundaries) {
            toDestination(new DestinationEvent.DisksForced(boundaries));
        }

        @Override
        public void violated(String reason) {
            toDestination(new DestinationEvent.SourceViolated(reason));
        }

        @Override
        public void destinationFails(String reason) {
            toDestination(new DestinationEvent.Failed(reason));
        }
    }

    private final class SourceSide implements SourceObserver {
        @Override
        public void transition(SourceState from, SourceEvent event, SourceState to) {
            if (from instanceof SourceState.AfterHandOver
                    && to instanceof SourceState.BeforeHandOver) {
                throw new AssertionError("a way back: " + from + " " + event + " " + to);
            }
        }

        @Override
        public void round(PrecopyPolicy.Measured measured, int throttlePercent) {}

        @Override
        public void stage(Stage stage, long nanos) {}

        @Override
        public void finished(SourceOutcome ended) {
            outcome = Optional.of(ended);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            throw failure;
        }
    }

    private static final class DestinationSide implements DestinationObserver {
        @Override
        public void transition(
                DestinationState from, DestinationEvent event, DestinationState to) {}

        @Override
        public void finished(DestinationOutcome outcome) {}

        @Override
        public void trouble(String what, RuntimeException failure) {
            throw failure;
        }
    }
}
