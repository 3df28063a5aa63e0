package holdfast.node.session;

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
import holdfast.engine.migrate.ThrottledGuest;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.PrimaryLink;
import holdfast.node.link.CookieJson;
import holdfast.node.link.MigrationFrames;
import holdfast.wire.link.LinkMessage;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;

/**
 * Whole migrations of a guest of one mebibyte, within this process and without a hypervisor. A
 * daemon moves a domain once in a long while, and a virtual machine that has not run its code
 * before takes several times as long for it: in the guest's pause, of all places. So it runs once
 * when the daemon starts.
 */
public final class MigrationRehearsal {
    private static final int PAGES = 256;
    private static final int STATE_BYTES = 128 << 10;
    private static final FeaturePlan PLAN =
            FeaturePlan.of(
                    FeaturePlan.Policy.DEFAULT,
                    List.of(),
                    List.of(),
                    List.of(FeaturePlan.Part.NICS));

    private final ArrayDeque<Runnable> events = new ArrayDeque<>();
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment here = arena.allocate((long) PAGES * GuestMemory.PAGE_BYTES, 4096);
    private final MemorySegment there = arena.allocate((long) PAGES * GuestMemory.PAGE_BYTES, 4096);
    private final MemorySegment state = arena.allocate(STATE_BYTES);
    private final LocalPipe pipe = new LocalPipe(1 << 20);
    private final PageReceiver receiver = new PageReceiver(GuestMemory.over(there), pipe);
    private final SourceSession source;
    private final DestinationSession destination;
    private long writes;
    private boolean stands;
    private boolean moved;

    private MigrationRehearsal() {
        PageSender sender = new PageSender(PAGES, PAGES, pipe);
        source =
                new SourceSession(
                        new SourceMachine(
                                new PrecopyPolicy(1, 4, PrecopyPolicy.Convergence.AS_IS), PLAN, 0),
                        new SourceSession.Deadlines(1, 1, 1, 1, 1),
                        new SourceSession.Ports(
                                new Guest(),
                                GuestMemory.over(here),
                                new Tracker(),
                                ThrottledGuest.unthrottled(),
                                new ToDestination(),
                                List.of(sender),
                                _ -> {},
                                (_, _) -> {},
                                System::nanoTime,
                                new SourceSide()),
                        event -> events.add(() -> fromSource(event)));
        destination =
                new DestinationSession(
                        new DestinationMachine(PLAN, 0),
                        new DestinationSession.Ports(
                                new Arriving(),
                                new ToSource(),
                                new Pages(),
                                System::nanoTime,
                                new DestinationSide()));
    }

    /**
     * Rehearses.
     *
     * @return whether every rehearsal moved its guest with all of its memory
     */
    public static boolean run(int times) {
        boolean good = true;
        for (int i = 0; i < times; i++) {
            MigrationRehearsal rehearsal = new MigrationRehearsal();
            try (rehearsal.arena) {
                good &= rehearsal.once();
            }
        }
        return good;
    }

    private boolean once() {
        for (int i = 0; i < PAGES; i += 2) {
            here.set(ValueLayout.JAVA_LONG, (long) i * GuestMemory.PAGE_BYTES, i + 1);
        }
        source.start();
        destination.start();
        while (!events.isEmpty()) {
            events.remove().run();
        }
        return moved && here.mismatch(there) < 0;
    }

    private void fromSource(SourceEvent event) {
        source.handle(event);
    }

    private void toDestination(DestinationEvent event) {
        events.add(() -> destination.handle(event));
    }

    private void toDestination(LinkMessage message) {
        toDestination(MigrationFrames.ofSource(MigrationFrames.travelled(message)));
    }

    private void toSource(LinkMessage message) {
        SourceEvent event =
                MigrationFrames.ofDestination(MigrationFrames.travelled(message), "rehearsal");
        events.add(() -> source.handle(event));
    }

    private final class Guest implements Domain {
        @Override
        public String name() {
            return "rehearsal";
        }

        @Override
        public void suspend() {
            stands = true;
        }

        @Override
        public void resume() {
            stands = false;
        }

        @Override
        public void destroy() {}

        @Override
        public DeviceState saveDeviceState() {
            return new DeviceState(new DeviceState.DeviceBase(1, state), state);
        }
    }

    /** A few pages change a little, as a guest's do; where it stands, until they are looked at. */
    private final class Tracker implements DirtyTracker {
        private boolean looked;

        @Override
        public String kind() {
            return "rehearsal";
        }

        @Override
        public void collect(PfnSet into) {
            if (stands && looked) {
                return;
            }
            looked = stands;
            for (int i = 0; i < PAGES; i += 4) {
                long at = (long) i * GuestMemory.PAGE_BYTES + 64;
                here.set(ValueLayout.JAVA_LONG, at, ++writes);
                into.add(i);
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
            events.add(
                    () -> {
                        try {
                            piece.write();
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    });
        }

        @Override
        public void performed(List<CheckpointDigest> streams, Cookies.Performed cookie) {
            events.add(MigrationRehearsal.this::receive);
            toDestination(MigrationFrames.performed(streams, cookie));
        }

        @Override
        public void handOver(long generation) {
            toDestination(new LinkMessage.HandOver(generation));
        }

        @Override
        public void cancel(String reason) {
            toDestination(new LinkMessage.CancelMigration(reason));
        }

        @Override
        public void close() {}
    }

    private void receive() {
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
                    case PageReceiver.Read.Ended(String where) ->
                            throw new IllegalStateException(
                                    "the rehearsal's stream ended " + where);
                }
            }
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
            if (!closed) {
                closed = true;
                receiver.close();
            }
        }
    }

    private final class ToSource implements DestinationLink {
        @Override
        public void prepared(Cookies.Prepared cookie) {
            toSource(new LinkMessage.MigrationPrepared(CookieJson.write(cookie)));
        }

        @Override
        public void finished(Cookies.Finished cookie) {
            toSource(new LinkMessage.MigrationFinished(CookieJson.write(cookie)));
        }

        @Override
        public void takenOver(Cookies.TakenOver cookie) {
            toSource(new LinkMessage.TakenOver(CookieJson.write(cookie)));
        }

        @Override
        public void rolledBack(Cookies.RolledBack cookie) {
            toSource(new LinkMessage.RolledBack(CookieJson.write(cookie)));
        }

        @Override
        public void stopReceiving() {}

        @Override
        public void close() {}
    }

    private final class Arriving implements Arrival {
        @Override
        public Cookies.Prepared prepare() {
            return new Cookies.Prepared(Cookies.VERSION, "rehearsal", "none", List.of());
        }

        @Override
        public void offerBase(MemorySegment base) {}

        @Override
        public void offerSections(MemorySegment base, MemorySegment part) {}

        @Override
        public FeatureReport bringUp(Feature feature) {
            return new FeatureReport(
                    feature.name(), feature.necessity(), FeatureReport.Result.UP, "rehearsed", 1);
        }

        @Override
        public FeatureReport takeDown(FeatureReport up) {
            return up;
        }

        @Override
        public Run run(long generation) {
            return new Run.Ran(new Guest());
        }

        @Override
        public void settle(Domain domain) {}

        @Override
        public List<FeatureReport> discard(String reason, List<FeatureReport> reports) {
            return reports;
        }
    }

    private final class SourceSide implements SourceObserver {
        @Override
        public void transition(SourceState from, SourceEvent event, SourceState to) {}

        @Override
        public void round(PrecopyPolicy.Measured measured, int throttlePercent) {}

        @Override
        public void stage(Stage stage, long nanos) {}

        @Override
        public void finished(SourceOutcome outcome) {
            moved = outcome instanceof SourceOutcome.Moved;
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
