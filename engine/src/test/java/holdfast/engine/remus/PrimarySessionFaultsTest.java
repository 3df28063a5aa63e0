package holdfast.engine.remus;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.GuestShutDownException;
import holdfast.engine.HypervisorException;
import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.memory.CheckpointEncoder;
import holdfast.engine.memory.Encoded;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.ForwardedDisks;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.engine.port.PrimaryLink;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;

import org.junit.jupiter.api.Test;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.Channels;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/** What a primary does when something breaks in the middle of a checkpoint. */
class PrimarySessionFaultsTest {
    private static final long PAGES = 16;

    private final List<String> said = new ArrayList<>();
    private final ArrayDeque<PrimaryEvent> posted = new ArrayDeque<>();
    private final Guest guest = new Guest();
    private final Tracker tracker = new Tracker();
    private final Disks disks = new Disks();
    private Optional<PrimaryOutcome> outcome = Optional.empty();
    private OutputGate gate = OutputGate.open();
    private long capturedPages = -1;
    private final PrimarySession session =
            new PrimarySession(
                    new PrimarySettings("d", 1, 0, 1, new LivePolicy(PAGES, 1)),
                    new PrimarySession.Ports(
                            guest,
                            guest,
                            tracker,
                            disks,
                            () -> gate,
                            new Link(),
                            new NoArbiter(),
                            (_, _) -> {},
                            () -> 0,
                            new Observer()),
                    new CheckpointEncoder(
                            CheckpointEncoder.Encoding.PLAIN,
                            PAGES,
                            Channels.newChannel(new ByteArrayOutputStream())),
                    posted::add);

    private void handle(PrimaryEvent event) {
        session.handle(event);
        while (!posted.isEmpty()) {
            session.handle(posted.poll());
        }
    }

    private void untilTheFirstCheckpoint() {
        handle(new PrimaryEvent.FromSecondary(0, new ToPrimary.CheckpointReady()));
        assertThat(session.state()).isInstanceOf(PrimaryState.Requested.class);
        handle(new PrimaryEvent.FromSecondary(0, new ToPrimary.CheckpointReply()));
    }

    @Test
    void aGuestThatShutsDownAsACheckpointBeginsIsNotBroughtBackByTheSecondary() {
        guest.resuming =
                () -> {
                    throw new GuestShutDownException(
                            "cont", "guest-shutdown", new HypervisorException("cont", "closed"));
                };
        untilTheFirstCheckpoint();

        assertThat(outcome)
                .containsInstanceOf(PrimaryOutcome.DomainEnded.class)
                .get()
                .extracting(ended -> ((PrimaryOutcome.DomainEnded) ended).ending())
                .isEqualTo(PrimaryOutcome.Ending.SHUT_DOWN);
        assertThat(said).contains("dismiss").doesNotContain("domainDied");
    }

    /** Disks that are in sync at once. */
    private final class Disks implements ForwardedDisks {
        private Runnable closing = () -> {};
        private Consumer<String> failed = _ -> {};

        @Override
        public void synchronise(Runnable synchronised, Consumer<String> failed) {
            this.failed = failed;
            said.add("synchronise");
            synchronised.run();
        }

        @Override
        public void closeEpoch(long epoch) {
            closing.run();
            said.add("boundary " + epoch);
        }

        @Override
        public void close() {
            said.add("disks closed");
        }
    }

    @Test
    void theEpochOfDiskWritesIsClosedOnceHoweverOftenTheCheckpointFails() {
        tracker.fault =
                () -> {
                    throw new HypervisorException("collect", "not now");
                };
        untilTheFirstCheckpoint();
        assertThat(session.state()).isEqualTo(new PrimaryState.Granted(0, 1));
        assertThat(said).doesNotContain("boundary 0");
        tracker.fault = () -> {};
        handle(new PrimaryEvent.IntervalElapsed(0));

        assertThat(session.state()).isInstanceOf(PrimaryState.Sending.class);
        assertThat(said).containsOnlyOnce("boundary 0");
    }

    @Test
    void aCheckpointWithoutItsDiskWritesIsNone() {
        disks.closing =
                () -> {
                    throw new HypervisorException("blockdev-mirror", "the job has ended");
                };
        untilTheFirstCheckpoint();

        assertThat(session.state()).isEqualTo(new PrimaryState.Granted(0, 1));
        disks.failed.accept("the job has ended");
        handle(new PrimaryEvent.IntervalElapsed(0));
        assertThat(session.state()).isInstanceOf(PrimaryState.Dismissing.class);
        handle(new PrimaryEvent.Dismissed());
        assertThat(said).contains("disks closed");
    }

    /** A gate that fails because QEMU is gone, or for a reason of its own. */
    private static final class Stuck implements OutputGate {
        @Override
        public void closeEpoch(long epoch) {}

        @Override
        public void release(long epoch) {
            throw new HypervisorException("release", "the socket has ended");
        }

        @Override
        public Held held() {
            return OutputGate.open().held();
        }

        @Override
        public void detach() {}

        @Override
        public void close() {}
    }

    private void commitTheFirstCheckpoint() {
        handle(new PrimaryEvent.FromSecondary(0, new ToPrimary.VmstateReceived()));
    }

    @Test
    void outputThatCannotLeaveBecauseTheDomainDiedDoesNotDiscardTheReplica() {
        gate = new Stuck();
        untilTheFirstCheckpoint();
        guest.resuming =
                () -> {
                    throw new HypervisorException("cont", "closed");
                };
        commitTheFirstCheckpoint();

        assertThat(said).contains("domainDied").doesNotContain("dismiss");
    }

    @Test
    void outputThatCannotLeaveThoughTheDomainLivesEndsProtection() {
        gate = new Stuck();
        untilTheFirstCheckpoint();
        commitTheFirstCheckpoint();

        assertThat(said).contains("dismiss").doesNotContain("domainDied");
        assertThat(session.state()).isInstanceOf(PrimaryState.Dismissing.class);
    }

    @Test
    void aDomainThatCannotBeResumedIsADeathThatTheSecondaryHearsOf() {
        guest.resuming =
                () -> {
                    throw new HypervisorException("cont", "closed");
                };
        untilTheFirstCheckpoint();

        assertThat(said).contains("domainDied").doesNotContain("dismiss");
    }

    @Test
    void aFaultInTheGuestsMemoryDoesNotLeaveTheGuestSuspended() {
        guest.saving =
                () -> {
                    throw new InternalError("a fault occurred in an unsafe memory access");
                };
        untilTheFirstCheckpoint();

        assertThat(guest.suspended).isFalse();
        assertThat(session.state()).isEqualTo(new PrimaryState.Granted(0, 1));
    }

    @Test
    void whatWasTakenOfAGuestThatSomebodyElseLetGoOnIsNotSent() {
        guest.disturbance = Optional.of("somebody else let the guest go on");
        untilTheFirstCheckpoint();

        assertThat(session.state()).isInstanceOf(PrimaryState.Dismissing.class);
        assertThat(session.state().toString()).contains("somebody else let the guest go on");
        assertThat(guest.suspended).isFalse();
        assertThat(capturedPages).as("nothing of it was encoded").isEqualTo(-1);
        assertThat(said).doesNotContain("destroy", "digest");
    }

    @Test
    void marksThatAFailedCollectTookWithItAreNotLost() {
        tracker.fault =
                () -> {
                    throw new OutOfMemoryError("half way");
                };
        untilTheFirstCheckpoint();
        assertThat(session.state()).isEqualTo(new PrimaryState.Granted(0, 1));
        tracker.fault = () -> {};
        handle(new PrimaryEvent.IntervalElapsed(0));

        assertThat(capturedPages).as("every page counts as written").isEqualTo(PAGES);
    }

    private final class Guest implements Domain, GuestMemory {
        private final MemorySegment bytes = Arena.ofAuto().allocate(PAGES * PAGE_BYTES);
        private boolean suspended;
        private Optional<String> disturbance = Optional.empty();
        private Runnable resuming = () -> {};
        private Runnable saving = () -> {};

        @Override
        public String name() {
            return "d";
        }

        @Override
        public void suspend() {
            suspended = true;
        }

        @Override
        public void resume() {
            resuming.run();
            suspended = false;
        }

        @Override
        public Optional<String> disturbance() {
            return disturbance;
        }

        @Override
        public void destroy() {
            said.add("destroy");
        }

        @Override
        public DeviceState saveDeviceState() {
            saving.run();
            MemorySegment state = Arena.ofAuto().allocate(8);
            return new DeviceState(new DeviceState.DeviceBase(1, state), state);
        }

        @Override
        public long pages() {
            return PAGES;
        }

        @Override
        public MemorySegment bytes() {
            return bytes;
        }
    }

    /** Nothing is ever written; faults come only while the guest is suspended. */
    private final class Tracker implements DirtyTracker {
        private Runnable fault = () -> {};

        @Override
        public String kind() {
            return "none";
        }

        @Override
        public void collect(PfnSet into) {
            if (guest.suspended) {
                fault.run();
            }
        }

        @Override
        public void close() {
            said.add("tracker closed");
        }
    }

    private final class Link implements PrimaryLink {
        @Override
        public void send(long epoch, ToSecondary message) {
            said.add(message.getClass().getSimpleName());
        }

        @Override
        public void sendDigest(long epoch, CheckpointDigest digest) {
            said.add("digest");
        }

        @Override
        public void transmit(BulkPiece piece) {
            try {
                piece.write();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public void dismiss(String reason) {
            said.add("dismiss");
        }

        @Override
        public void domainDied(String reason) {
            said.add("domainDied");
        }

        @Override
        public void stoodDown() {
            said.add("stoodDown");
        }

        @Override
        public void close() {
            said.add("link closed");
        }
    }

    private static final class NoArbiter implements holdfast.engine.port.Arbiter {
        @Override
        public String kind() {
            return "operator";
        }

        @Override
        public void ask(
                String domain,
                long generation,
                Role role,
                java.util.function.Consumer<Verdict> answer) {
            // A person answers, and not by itself.
        }
    }

    private final class Observer implements PrimaryObserver {
        @Override
        public void transition(PrimaryState from, PrimaryEvent event, PrimaryState to) {
            said.add(to.getClass().getSimpleName());
        }

        @Override
        public void paused(Pause pause) {
            capturedPages = pause.dirtyPages();
        }

        @Override
        public void encoded(Encoded encoded) {
            said.add("encoded");
        }

        @Override
        public void committed(long epoch, long nanos) {
            said.add("committed");
        }

        @Override
        public void finished(PrimaryOutcome ended) {
            outcome = Optional.of(ended);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            said.add("trouble " + what);
        }
    }
}
