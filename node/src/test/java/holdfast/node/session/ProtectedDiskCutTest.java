package holdfast.node.session;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.engine.remus.SecondaryOutcome;
import holdfast.node.disk.ReplicaImages;
import holdfast.node.link.DiskStream;
import holdfast.node.link.FrameProxy;
import holdfast.node.link.FrameProxy.Act;
import holdfast.node.link.FrameProxy.Place;
import holdfast.node.link.FrameProxy.Way;
import holdfast.wire.Bytes;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.StreamEncoding;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The DISK connection of a protected guest breaks after byte k: real sessions, connections and
 * images, a guest without a hypervisor. {@code -Dholdfast.kills=all} for every byte of the frames.
 */
@Timeout(600)
class ProtectedDiskCutTest {
    private static final boolean ALL = "all".equals(System.getProperty("holdfast.kills"));
    private static final long PAGES = 64;
    private static final int DISK_BYTES = 32 << 10;
    private static final int WRITE_BYTES = 600;
    private static final int PATIENT_MILLIS = 10_000;
    private static final int BRIEF_MILLIS = 1_000;
    private static final long LIMIT_SECONDS = 30;

    @TempDir Path directory;

    private static Place disk(String message, long offset, Act act) {
        return new Place(ConnectionKind.DISK, Way.THERE, message, offset, act);
    }

    /** In the first synchronisation, and after three epochs. */
    private static List<List<Place>> places(String message, int bytes, Act act) {
        TreeSet<Long> offsets = new TreeSet<>(List.of(0L, 1L, 15L, 16L, 17L, bytes - 1L, -1L));
        for (long offset = 0; ALL && offset < bytes; offset++) {
            offsets.add(offset);
        }
        Place passed = disk("DISK_BOUNDARY", 0, Act.PASS);
        List<List<Place>> all = new ArrayList<>();
        for (long offset : offsets) {
            Place place = disk(message, offset, act);
            all.add(List.of(place));
            all.add(List.of(passed, passed, passed, place));
        }
        return all;
    }

    @Test
    void whoever_goes_on_has_memory_and_disk_of_one_committed_epoch() throws Exception {
        int survived = 0;
        int discarded = 0;
        List<List<Place>> all = new ArrayList<>();
        all.addAll(places("DISK_WRITE", LinkCodec.HEADER_BYTES + 24, Act.CUT_ALL));
        all.addAll(places("DISK_ZEROES", LinkCodec.HEADER_BYTES + 16, Act.CUT_ALL));
        all.addAll(places("DISK_BOUNDARY", LinkCodec.HEADER_BYTES + 24, Act.CUT_ALL));
        for (List<Place> places : all) {
            Path image = directory.resolve("replica.raw");
            try (Pair pair = new Pair(image, PATIENT_MILLIS, places.toArray(Place[]::new))) {
                pair.proxy.awaitReached();
                switch (pair.sessions.secondaryOutcome.get(LIMIT_SECONDS, TimeUnit.SECONDS)) {
                    case SecondaryOutcome.Survived outcome -> {
                        survived++;
                        assertThat(outcome.epoch())
                                .as("%s", places)
                                .isGreaterThanOrEqualTo(pair.guest.releasedEpoch.get());
                        PagedStandby.TakenOver memory =
                                pair.standby.takenOver.get(LIMIT_SECONDS, TimeUnit.SECONDS);
                        assertThat(memory.foundChecksum()).isEqualTo(memory.expectedChecksum());
                        assertThat(Arrays.hashCode(Files.readAllBytes(image)))
                                .as("the disk of epoch %d, %s", outcome.epoch(), places)
                                .isEqualTo(pair.disk.closed.get(outcome.epoch()));
                    }
                    case SecondaryOutcome other -> {
                        discarded++;
                        // Before the first commit there is nothing to go on from.
                        assertThat(pair.guest.releasedEpoch.get())
                                .as("%s %s", other, places)
                                .isNegative();
                    }
                }
            }
        }
        System.out.printf(
                "PROTECTED DISK CUT places=%d survived=%d discarded=%d%n",
                all.size(), survived, discarded);
        assertThat(survived).isPositive();
        assertThat(discarded).isPositive();
    }

    @Test
    void a_disk_connection_that_breaks_alone_ends_protection_and_the_second_attempt_protects()
            throws Exception {
        for (String message : List.of("DISK_WRITE", "DISK_ZEROES", "DISK_BOUNDARY")) {
            Place passed = disk("DISK_BOUNDARY", 0, Act.PASS);
            Place place = disk(message, 17, Act.CUT_ONE);
            Path image = directory.resolve("replica.raw");
            for (List<Place> places : List.of(List.of(place), List.of(passed, passed, place))) {
                try (Pair pair = new Pair(image, BRIEF_MILLIS, places.toArray(Place[]::new))) {
                    assertThat(pair.sessions.primaryOutcome.get(LIMIT_SECONDS, TimeUnit.SECONDS))
                            .as("%s", places)
                            .isInstanceOf(PrimaryOutcome.Unprotected.class);
                    assertThat(pair.guest.running()).isTrue();
                    assertThat(pair.sessions.secondaryOutcome.get(LIMIT_SECONDS, TimeUnit.SECONDS))
                            .isInstanceOf(SecondaryOutcome.Discarded.class);
                    assertThat(pair.standby.takenOver).isNotDone();
                }
                try (Pair again = new Pair(image, PATIENT_MILLIS)) {
                    again.sessions.protectedNow.get(LIMIT_SECONDS, TimeUnit.SECONDS);
                    again.primary.request(new PrimaryEvent.Unprotect());
                    assertThat(again.sessions.primaryOutcome.get(LIMIT_SECONDS, TimeUnit.SECONDS))
                            .isInstanceOf(PrimaryOutcome.Unprotected.class);
                }
            }
        }
    }

    /** A guest's disk: what it was at the end of each epoch is remembered. */
    private static final class Disk {
        private final byte[] bytes = new byte[DISK_BYTES];
        private final Map<Long, Integer> closed = new ConcurrentHashMap<>();

        ProtectedGuest.Forwarding forward(DiskStream stream) {
            Random random = new Random(3);
            return new ProtectedGuest.Forwarding() {
                @Override
                public void synchronise(Runnable synchronised, Consumer<String> failed) {
                    random.nextBytes(bytes);
                    stream.write(0, 0, ByteBuffer.wrap(bytes.clone()));
                    Arrays.fill(bytes, 512, 1024, (byte) 0);
                    stream.writeZeroes(0, 512, 512);
                    synchronised.run();
                }

                @Override
                public void closeEpoch(long epoch) {
                    byte[] data = new byte[WRITE_BYTES];
                    random.nextBytes(data);
                    int at = random.nextInt(DISK_BYTES - WRITE_BYTES);
                    System.arraycopy(data, 0, bytes, at, WRITE_BYTES);
                    stream.write(0, at, ByteBuffer.wrap(data));
                    int hole = random.nextInt(DISK_BYTES / 512) * 512;
                    Arrays.fill(bytes, hole, hole + 512, (byte) 0);
                    stream.writeZeroes(0, hole, 512);
                    closed.put(epoch, Arrays.hashCode(bytes));
                    stream.boundary(epoch);
                }

                @Override
                public List<ProtectedGuest.DiskFigures> figures() {
                    return List.of();
                }

                @Override
                public void close() {}
            };
        }
    }

    private record WithDisk(PagedGuest plain, Disk disk) implements ProtectedGuest {
        @Override
        public Domain domain() {
            return plain;
        }

        @Override
        public GuestMemory memory() {
            return plain;
        }

        @Override
        public Tracking openTracker() {
            return plain.openTracker();
        }

        @Override
        public Forwarding forwardDisks(DiskStream stream) {
            return disk.forward(stream);
        }

        @Override
        public OutputGate holdOutput(Runnable pressure, InboundCopy inbound) {
            return plain.holdOutput(pressure, inbound);
        }
    }

    /** Both sides of a protection; nobody asks before the survivor goes on. */
    private final class Pair implements AutoCloseable {
        private final PagedGuest guest = new PagedGuest(PAGES, 1);
        private final Disk disk = new Disk();
        private final PagedStandby standby = new PagedStandby(PAGES);
        private final FrameProxy proxy;
        private final SessionPair sessions;
        private final RemusPrimary primary;

        Pair(Path image, int deadlineMillis, Place... places) throws Exception {
            LinkMessage.OpenSession opening =
                    new LinkMessage.OpenSession(
                            UUID.randomUUID(),
                            "guest",
                            1,
                            Bytes.ofHex("7b7d"),
                            PAGES * 4096,
                            StreamEncoding.DELTA,
                            50,
                            deadlineMillis,
                            5,
                            Arbiters.NONE.kind(),
                            List.of(new LinkMessage.DiskSize(0, DISK_BYTES)));
            Path journals = Files.createDirectories(directory.resolve("journals"));
            ReplicaImages images =
                    ReplicaImages.open(
                            journals,
                            opening.session(),
                            "guest",
                            List.of(new ReplicaImages.Image(image, DISK_BYTES)));
            sessions = new SessionPair(opening, Arbiters.NONE, standby, Optional.of(images));
            proxy = new FrameProxy("127.0.0.1", sessions.address());
            proxy.arm(places);
            primary = sessions.protect(new WithDisk(guest, disk), proxy.port());
        }

        @Override
        public void close() throws IOException {
            proxy.close();
            sessions.primaryOutcome.orTimeout(LIMIT_SECONDS, TimeUnit.SECONDS).join();
            sessions.secondaryOutcome.orTimeout(LIMIT_SECONDS, TimeUnit.SECONDS).join();
            sessions.close();
            guest.close();
        }
    }
}
