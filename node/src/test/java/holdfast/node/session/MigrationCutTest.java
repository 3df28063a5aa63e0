package holdfast.node.session;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.migrate.PrecopyPolicy;
import holdfast.engine.migrate.SourceOutcome;
import holdfast.engine.migrate.Storage;
import holdfast.engine.migrate.ThrottledGuest;
import holdfast.node.link.BulkCompression;
import holdfast.node.link.FrameProxy;
import holdfast.node.link.FrameProxy.Act;
import holdfast.node.link.FrameProxy.Place;
import holdfast.node.link.FrameProxy.Seen;
import holdfast.node.link.FrameProxy.Way;
import holdfast.node.link.LinkListener;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.node.link.SessionAccepter;
import holdfast.node.session.MovingGuests.Copy;
import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.UUID;

/**
 * The connections of a migration break after byte k, for each k of a class: the real sessions and
 * connections, a guest without a hypervisor. {@code -Dholdfast.kills=all} for every byte of every
 * message and of the beginning and the end of the stream.
 */
@Timeout(600)
class MigrationCutTest {
    private static final boolean ALL = "all".equals(System.getProperty("holdfast.kills"));
    private static final NodeIdentity A = new NodeIdentity("a", UUID.randomUUID(), "test");
    private static final NodeIdentity B = new NodeIdentity("b", UUID.randomUUID(), "test");
    private static final Duration LIMIT = Duration.ofSeconds(20);

    /** A machine that is busy is not to look dead. */
    private static final int PATIENT_MILLIS = 20_000;

    private static final int BRIEF_MILLIS = 1_000;

    private final Relay relay = new Relay();
    private Storage storage = Storage.SHARED;
    private LinkListener listener;
    private FrameProxy proxy;

    /** Whose guest is being moved. */
    private static final class Relay implements holdfast.node.link.MigrationAccepter {
        private volatile MovingGuests guests;

        @Override
        public Decision decide(
                LinkMessage.Hello peer, String address, LinkMessage.OpenMigration migration) {
            return guests.decide(peer, address, migration);
        }

        @Override
        public Optional<LinkMessage.Answer> answer(
                LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
            return guests.answer(peer, inquiry);
        }
    }

    private static final class NoSessions implements SessionAccepter {
        @Override
        public Decision decide(
                LinkMessage.Hello peer,
                String address,
                LinkMessage.OpenSession session,
                Optional<LinkMessage.StayProtected> staying) {
            return new Decision.Refused("no sessions here");
        }

        @Override
        public LinkMessage.Answer answer(LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
            return new LinkMessage.Answer(Standing.UNKNOWN, 0, "never heard of it");
        }
    }

    @BeforeEach
    void listen() throws IOException {
        listener = LinkListener.open("127.0.0.1", 0, B, new NoSessions(), relay);
        proxy = new FrameProxy("127.0.0.1", listener.address());
    }

    @AfterEach
    void close() throws IOException {
        proxy.close();
        listener.close();
    }

    @Test
    void after_every_byte_one_copy_runs_and_the_second_attempt_moves_it() throws Exception {
        Map<String, Integer> ends = new LinkedHashMap<>();
        for (Place place : places(Act.CUT_ALL)) {
            count(ends, place, migrateTwice(PATIENT_MILLIS, place));
        }
        report("all connections cut", ends);
    }

    @Test
    void one_connection_that_breaks_alone_is_enough() throws Exception {
        Map<String, Integer> ends = new LinkedHashMap<>();
        for (Place place : places(Act.CUT_ONE)) {
            boolean usual =
                    place.offset() == 0
                            && List.of(FrameProxy.STREAM, "MIGRATION_PREPARED", "HAND_OVER")
                                    .contains(place.message());
            boolean more = List.of(0L, -1L, (long) LinkCodec.HEADER_BYTES).contains(place.offset());
            if (usual || ALL && more) {
                count(ends, place, migrateTwice(BRIEF_MILLIS, place));
            }
        }
        report("one connection cut", ends);
    }

    @Test
    void a_question_that_is_cut_is_asked_again() throws Exception {
        Map<String, Integer> ends = new LinkedHashMap<>();
        List<Place> questions = new ArrayList<>();
        for (Way way : Way.values()) {
            for (String message : ofInquiry(way)) {
                for (long offset : ALL ? List.of(0L, 5L, 16L, 20L, -1L) : List.of(20L)) {
                    questions.add(
                            new Place(ConnectionKind.INQUIRY, way, message, offset, Act.CUT_ALL));
                }
            }
        }
        for (Place question : questions) {
            // One that was handed over and one that arrived there: asked about both.
            for (String lost : List.of("HAND_OVER", "TAKEN_OVER")) {
                Place first =
                        new Place(
                                ConnectionKind.MIGRATION,
                                lost.equals("HAND_OVER") ? Way.THERE : Way.BACK,
                                lost,
                                0,
                                Act.CUT_ALL);
                count(ends, question, migrateTwice(PATIENT_MILLIS, first, question));
            }
        }
        report("question cut", ends);
    }

    private static List<String> ofInquiry(Way way) {
        List<String> both =
                switch (way) {
                    case THERE -> List.of("INQUIRE", "HELLO");
                    case BACK -> List.of("ANSWER", "WELCOME");
                };
        return ALL ? both : both.subList(0, 1);
    }

    @Test
    void after_every_byte_of_a_disk_the_guest_stays_and_the_second_attempt_moves_both()
            throws Exception {
        storage = Storage.COPIED;
        Map<String, Integer> ends = new LinkedHashMap<>();
        for (List<Place> places : diskPlaces()) {
            count(ends, places.getLast(), migrateTwice(PATIENT_MILLIS, places));
        }
        report("DISK cut", ends);
        // Only who has heard of the last boundary may have been handed over.
        assertThat(ends.keySet()).isSubsetOf("places", "RolledBack", "refused");
    }

    @Test
    void a_disks_connection_that_breaks_alone_is_enough() throws Exception {
        storage = Storage.COPIED;
        Map<String, Integer> ends = new LinkedHashMap<>();
        for (String message : List.of("DISK_WRITE", "DISK_ZEROES", "DISK_BOUNDARY")) {
            for (Place place :
                    List.of(
                            disk(message, 0, Act.CUT_ONE),
                            disk(message, LinkCodec.HEADER_BYTES + 1, Act.CUT_ONE))) {
                count(ends, place, migrateTwice(PATIENT_MILLIS, place));
            }
        }
        report("DISK cut alone", ends);
        assertThat(ends.keySet()).isSubsetOf("places", "RolledBack");
    }

    private static Place disk(String message, long offset, Act act) {
        return new Place(ConnectionKind.DISK, Way.THERE, message, offset, act);
    }

    /** The first frame of each kind, and the last boundary, which is in the pause. */
    private List<List<Place>> diskPlaces() throws Exception {
        withoutFault();
        Map<String, Seen> frames = new LinkedHashMap<>();
        proxy.seen().stream()
                .filter(seen -> seen.kind() == ConnectionKind.DISK)
                .forEach(seen -> frames.putIfAbsent(seen.way() + " " + seen.message(), seen));
        assertThat(frames)
                .containsKeys(
                        "THERE HELLO",
                        "BACK WELCOME",
                        "THERE DISK_WRITE",
                        "THERE DISK_ZEROES",
                        "THERE DISK_BOUNDARY");
        List<List<Place>> all = new ArrayList<>();
        for (Seen seen : frames.values()) {
            for (long offset : diskOffsets(seen)) {
                Place place =
                        new Place(seen.kind(), seen.way(), seen.message(), offset, Act.CUT_ALL);
                all.add(List.of(place));
                if (seen.message().equals("DISK_BOUNDARY")) {
                    all.add(List.of(disk(seen.message(), 0, Act.PASS), place));
                }
            }
        }
        return all;
    }

    private static Iterable<Long> diskOffsets(Seen seen) {
        if (!seen.message().equals("DISK_WRITE")) {
            return offsets(seen.bytes());
        }
        TreeSet<Long> offsets = new TreeSet<>();
        int frame = LinkCodec.HEADER_BYTES + 64;
        offsets(frame).forEach(offsets::add);
        for (long offset = frame; offset < seen.bytes(); offset += ALL ? 61 : 2039) {
            offsets.add(offset);
        }
        offsets.add(seen.bytes() - 1L);
        return offsets;
    }

    private void withoutFault() throws Exception {
        proxy.arm();
        try (MovingGuests guests = new MovingGuests(storage)) {
            relay.guests = guests;
            assertThat(migrate(guests, PATIENT_MILLIS)).isEqualTo("Moved");
            assertThat(guests.awaitArrivals(LIMIT)).isTrue();
        }
    }

    /** What one migration without a fault says, message by message. */
    private List<Place> places(Act act) throws Exception {
        withoutFault();
        Map<String, Seen> messages = new LinkedHashMap<>();
        for (Seen seen : proxy.seen()) {
            messages.putIfAbsent(seen.kind() + " " + seen.way() + " " + seen.message(), seen);
        }
        assertThat(messages.values())
                .extracting(Seen::message)
                .contains(
                        "HELLO",
                        "WELCOME",
                        "OPEN_MIGRATION",
                        "SESSION_ACCEPTED",
                        "HEARTBEAT",
                        "MIGRATION_PREPARED",
                        "MIGRATION_PERFORMED",
                        "MIGRATION_FINISHED",
                        "HAND_OVER",
                        "TAKEN_OVER");
        List<Place> places = new ArrayList<>();
        messages.values()
                .forEach(
                        seen -> {
                            for (long offset : offsets(seen.bytes())) {
                                places.add(
                                        new Place(
                                                seen.kind(),
                                                seen.way(),
                                                seen.message(),
                                                offset == seen.bytes() ? -1 : offset,
                                                act));
                            }
                        });
        for (long offset : streamOffsets(proxy.streamBytes(Way.THERE))) {
            places.add(new Place(ConnectionKind.BULK, Way.THERE, FrameProxy.STREAM, offset, act));
        }
        return places;
    }

    /** Of a frame: its header, where its body begins, its middle, its last byte, and behind it. */
    private static Iterable<Long> offsets(int bytes) {
        TreeSet<Long> offsets = new TreeSet<>();
        for (long offset : new long[] {0, 1, 8, 15, 16, 17, bytes / 2, bytes - 1, bytes}) {
            offsets.add(Math.min(offset, bytes));
        }
        for (long offset = 0; ALL && offset < bytes; offset++) {
            offsets.add(offset);
        }
        return offsets;
    }

    /** The headers and the first records, pages, and the device state with the two ends. */
    private static Iterable<Long> streamOffsets(int bytes) {
        TreeSet<Long> offsets = new TreeSet<>();
        int first = ALL ? 300 : 64;
        int last = ALL ? 1200 : 64;
        for (long offset = 0; offset < first; offset += ALL ? 1 : 8) {
            offsets.add(offset);
        }
        for (long offset = first; offset < bytes - last; offset += ALL ? 509 : 9001) {
            offsets.add(offset);
        }
        for (long offset = bytes - last; offset < bytes; offset += ALL ? 1 : 8) {
            offsets.add(offset);
        }
        return offsets;
    }

    /** How the first attempt ended; the second one, on a whole link, moves it. */
    private String migrateTwice(int deadlineMillis, Place... places) throws Exception {
        return migrateTwice(deadlineMillis, List.of(places));
    }

    private String migrateTwice(int deadlineMillis, List<Place> places) throws Exception {
        String where = places.toString();
        try (MovingGuests guests = new MovingGuests(storage)) {
            relay.guests = guests;
            proxy.arm(places.toArray(Place[]::new));
            String end = migrate(guests, deadlineMillis);
            assertThat(guests.awaitArrivals(LIMIT)).as(where).isTrue();
            assertThat(guests.broken()).as(where).isEmpty();
            if (end.equals("Moved")) {
                assertThat(guests.source()).as(where).isEqualTo(Copy.GONE);
                assertThat(guests.destination()).as(where).isEqualTo(Copy.RUNS);
            } else {
                assertThat(guests.source()).as(where + " " + end).isEqualTo(Copy.RUNS);
                assertThat(guests.destination()).as(where).isEqualTo(Copy.GONE);
                proxy.arm();
                assertThat(migrate(guests, PATIENT_MILLIS)).as(where).isEqualTo("Moved");
                assertThat(guests.awaitArrivals(LIMIT)).as(where).isTrue();
            }
            assertThat(guests.isWhole()).as(where).isTrue();
            assertThat(guests.broken()).as(where).isEmpty();
            return end;
        }
    }

    /** One attempt: the outcome, or "refused" where it did not begin. */
    private String migrate(MovingGuests guests, int deadlineMillis) throws Exception {
        MigrationSource source;
        try {
            source =
                    MigrationSource.open(
                            new MigrationSource.Settings(
                                    new NodeAddress("127.0.0.1", proxy.port()),
                                    new LinkMessage.OpenMigration(
                                            UUID.randomUUID(),
                                            "guest",
                                            MovingGuests.GENERATION,
                                            MovingGuests.PAGES * 4096L,
                                            20,
                                            deadlineMillis,
                                            1,
                                            Bytes.copyOf("{}".getBytes(StandardCharsets.UTF_8))),
                                    MovingGuests.PLAN,
                                    new PrecopyPolicy(
                                            1_000_000, 3, PrecopyPolicy.Convergence.AS_IS),
                                    Optional.empty(),
                                    0,
                                    // In frames, and packed whatever shrinks.
                                    BulkCompression.ZSTD,
                                    Duration.ofSeconds(10),
                                    System.nanoTime()),
                            guests.leaving(),
                            ThrottledGuest.unthrottled(),
                            guests::departing,
                            A,
                            new Quiet());
        } catch (IOException | ProtocolException e) {
            return "refused";
        }
        source.begin();
        assertThat(source.awaitEnd(LIMIT)).as("%s", source.state()).isTrue();
        assertThat(source.fault()).isEmpty();
        SourceOutcome outcome = source.outcome().orElseThrow();
        return outcome.getClass().getSimpleName();
    }

    private static final class Quiet implements MigrationSource.Listener {
        @Override
        public void changed(Telling telling) {}

        @Override
        public void finished(SourceOutcome outcome) {}

        @Override
        public void broken(RuntimeException failure) {}
    }

    private static void count(Map<String, Integer> ends, Place place, String end) {
        ends.merge(end, 1, Integer::sum);
        ends.merge("places", 1, Integer::sum);
    }

    private static void report(String what, Map<String, Integer> ends) {
        System.out.println("CUT " + what + ": " + ends);
        assertThat(ends).containsKey("places");
    }
}
