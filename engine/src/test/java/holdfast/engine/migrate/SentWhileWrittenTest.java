package holdfast.engine.migrate;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.memory.PageReceiver;
import holdfast.engine.memory.PageSender;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.PrimaryLink;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.WritableByteChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;

/**
 * A guest that writes its pages just while they are read and sent: what arrives torn or old is sent
 * again, because marks are taken before pages are read, never after.
 */
@Timeout(120)
class SentWhileWrittenTest {
    /** More than a sender takes before it writes: the guest also writes within a round. */
    private static final int PAGES = 2_500;

    private static final int SEEDS = 10;
    private static final int ROUNDS_MAX = 4;

    /** When a dirty log forgets what it has told. */
    private enum Rearmed {
        /** As the port demands: what is written from then on is told the next time. */
        BEFORE_PAGES_ARE_READ,
        /** The other way round, and so wrong. */
        AFTER_PAGES_WERE_READ
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void a_page_that_is_written_while_it_is_sent_arrives_as_it_was_at_the_end(int connections)
            throws Exception {
        for (int seed = 0; seed < SEEDS; seed++) {
            try (Run run = new Run(seed, connections, Rearmed.BEFORE_PAGES_ARE_READ)) {
                assertThat(run.differs()).as("seed %d, first byte", seed).isEqualTo(-1);
                assertThat(run.writtenWhileRead).isPositive();
            }
        }
    }

    /** Without this the test above would prove nothing. */
    @Test
    void a_log_that_is_cleared_after_the_pages_were_read_loses_pages() throws Exception {
        for (int seed = 0; seed < SEEDS; seed++) {
            try (Run run = new Run(seed, 1, Rearmed.AFTER_PAGES_WERE_READ)) {
                assertThat(run.differs()).as("seed %d", seed).isNotNegative();
            }
        }
    }

    @Test
    void pages_torn_by_a_thread_that_writes_all_the_while_are_sent_again() throws Exception {
        for (int seed = 0; seed < SEEDS; seed++) {
            try (Run run = new Run(seed, 2, Rearmed.BEFORE_PAGES_ARE_READ)) {
                Thread writer =
                        Thread.ofPlatform()
                                .start(
                                        () -> {
                                            while (run.writes(1)) {
                                                Thread.onSpinWait();
                                            }
                                        });
                try {
                    assertThat(run.differs()).as("seed %d, first byte", seed).isEqualTo(-1);
                } finally {
                    run.suspend();
                    writer.join();
                }
            }
        }
    }

    /** One migration up to the moment at which the destination has everything. */
    private static final class Run
            implements GuestMemory, DirtyTracker, Domain, SourceLink, AutoCloseable {
        private final Arena arena = Arena.ofShared();
        private final MemorySegment here = arena.allocate((long) PAGES * PAGE_BYTES, PAGE_BYTES);
        private final MemorySegment there = arena.allocate((long) PAGES * PAGE_BYTES, PAGE_BYTES);
        private final MemorySegment state = arena.allocate(64);
        private final List<ByteArrayOutputStream> streams = new ArrayList<>();
        private final Queue<SourceEvent> events = new ArrayDeque<>();
        private final Queue<PrimaryLink.BulkPiece> pieces = new ArrayDeque<>();
        private final PfnSet marks = new PfnSet(PAGES);
        private final Random random;
        private final Rearmed rearmed;
        private final SourceSession session;
        private boolean running = true;
        private boolean reading;
        private boolean sent;
        private int writtenWhileRead;

        Run(long seed, int connections, Rearmed rearmed) {
            this.random = new Random(seed);
            this.rearmed = rearmed;
            List<PageSender> senders = new ArrayList<>();
            for (int i = 0; i < connections; i++) {
                ByteArrayOutputStream stream = new ByteArrayOutputStream();
                streams.add(stream);
                senders.add(new PageSender(PAGES, PAGES / 2, interrupted(stream)));
            }
            for (int pfn = 0; pfn < PAGES; pfn += 3) {
                write(pfn);
            }
            marks.clear();
            session =
                    new SourceSession(
                            new SourceMachine(
                                    new PrecopyPolicy(
                                            1, ROUNDS_MAX, PrecopyPolicy.Convergence.AS_IS),
                                    new FeaturePlan(
                                            List.of(
                                                    new Feature(
                                                            Feature.MEMORY,
                                                            Feature.Necessity.REQUIRED))),
                                    1),
                            new SourceSession.Deadlines(1, 1, 1, 1, 1),
                            new SourceSession.Ports(
                                    this,
                                    this,
                                    this,
                                    ThrottledGuest.unthrottled(),
                                    this,
                                    senders,
                                    _ -> {},
                                    (_, _) -> {},
                                    System::nanoTime,
                                    new Unheard()),
                            events::add);
        }

        /** Where the copy differs from the guest at its end; -1 if nowhere. */
        long differs() throws IOException {
            events.add(
                    new SourceEvent.PeerPrepared(
                            new Cookies.Prepared(Cookies.VERSION, "b", "none", List.of())));
            session.start();
            while (!sent) {
                if (!events.isEmpty()) {
                    session.handle(events.remove());
                } else {
                    reading = true;
                    pieces.remove().write();
                    reading = false;
                    if (pieces.isEmpty() && rearmed == Rearmed.AFTER_PAGES_WERE_READ) {
                        marks.clear();
                    }
                }
            }
            for (ByteArrayOutputStream stream : streams) {
                try (PageReceiver receiver =
                        new PageReceiver(
                                GuestMemory.over(there),
                                Channels.newChannel(
                                        new ByteArrayInputStream(stream.toByteArray())))) {
                    while (!(receiver.next() instanceof PageReceiver.Read.Whole)) {
                        continue;
                    }
                }
            }
            return here.mismatch(there);
        }

        /** Some writes of the guest; false once it stands still. */
        synchronized boolean writes(int count) {
            for (int i = 0; i < count && running; i++) {
                write(random.nextInt(PAGES));
                writtenWhileRead += reading ? 1 : 0;
            }
            return running;
        }

        /** First the mark and then the write, as a protected page has it. */
        private void write(int pfn) {
            marks.add(pfn);
            MemorySegment page = here.asSlice((long) pfn * PAGE_BYTES, PAGE_BYTES);
            switch (random.nextInt(4)) {
                case 0 -> page.fill((byte) 0);
                case 1 -> page.fill((byte) random.nextInt());
                default ->
                        page.set(
                                ValueLayout.JAVA_LONG,
                                8L * random.nextInt(PAGE_BYTES / 8),
                                random.nextLong());
            }
        }

        /** A connection during each of whose writes the guest writes, too. */
        private WritableByteChannel interrupted(ByteArrayOutputStream stream) {
            WritableByteChannel channel = Channels.newChannel(stream);
            return new WritableByteChannel() {
                @Override
                public int write(ByteBuffer bytes) throws IOException {
                    writes(2);
                    int count = channel.write(bytes);
                    writes(2);
                    return count;
                }

                @Override
                public boolean isOpen() {
                    return channel.isOpen();
                }

                @Override
                public void close() throws IOException {
                    channel.close();
                }
            };
        }

        @Override
        public String kind() {
            return "exact";
        }

        @Override
        public synchronized void collect(PfnSet into) {
            writes(20);
            into.addAll(marks);
            if (rearmed == Rearmed.BEFORE_PAGES_ARE_READ || !running) {
                marks.clear();
            }
            writes(20);
        }

        @Override
        public long pages() {
            return PAGES;
        }

        @Override
        public MemorySegment bytes() {
            writes(20);
            return here;
        }

        @Override
        public String name() {
            return "guest";
        }

        @Override
        public synchronized void suspend() {
            running = false;
        }

        @Override
        public synchronized void resume() {
            running = true;
        }

        @Override
        public void destroy() {
            throw new IllegalStateException("nothing ends before it was handed over");
        }

        @Override
        public DeviceState saveDeviceState() {
            return new DeviceState(new DeviceState.DeviceBase(1, state), state);
        }

        @Override
        public int connections() {
            return streams.size();
        }

        @Override
        public void transmit(int connection, PrimaryLink.BulkPiece piece) {
            pieces.add(piece);
        }

        @Override
        public void performed(List<CheckpointDigest> digests, Cookies.Performed cookie) {
            sent = true;
        }

        @Override
        public void handOver(long generation) {
            throw new IllegalStateException("before it has finished");
        }

        @Override
        public void cancel(String reason) {
            throw new AssertionError(reason);
        }

        @Override
        public void close() {
            arena.close();
        }
    }

    private static final class Unheard implements SourceObserver {
        @Override
        public void transition(SourceState from, SourceEvent event, SourceState to) {}

        @Override
        public void round(PrecopyPolicy.Measured measured, int throttlePercent) {}

        @Override
        public void stage(Stage stage, long nanos) {}

        @Override
        public void finished(SourceOutcome outcome) {
            throw new AssertionError(outcome);
        }

        @Override
        public void trouble(String what, RuntimeException failure) {
            throw failure;
        }
    }
}
