package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.Cable.End;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.link.FrameProxy.Act;
import holdfast.node.link.FrameProxy.Place;
import holdfast.node.link.FrameProxy.Way;
import holdfast.wire.link.ConnectionKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * The network goes down ({@code ip link set down}) while a domain moves: nobody is told, so that
 * every wait ends at its deadline. {@code -Dholdfast.kills=all} for all moments.
 */
@Tag("qemu")
@Timeout(240)
class MigrationCableTest {
    private static final boolean ALL = "all".equals(System.getProperty("holdfast.kills"));
    private static final int DEADLINE_MILLIS = 2_000;

    /** One that is busy notices later, and a link that is closed waits for its deadline, too. */
    private static final long KNOWN_MILLIS_MAX = 20_000;

    private enum Moment {
        /** Pages of round 0 are on their way. */
        ROUNDS,
        /** The guest stands still, everything was sent, the destination has not heard that. */
        PAUSE,
        /** A hook is being run on the destination. */
        FINISH,
        /** HAND_OVER was sent and is lost. */
        HAND_OVER_LOST,
        /** The guest runs on the destination; the source has not heard of it. */
        HANDED_OVER
    }

    @Test
    void a_network_that_goes_down_leaves_one_copy_and_the_second_attempt_moves_it()
            throws Exception {
        Map<Moment, Long> millis = new EnumMap<>(Moment.class);
        try (Cable cable = new Cable();
                MigratingPair pair =
                        new MigratingPair(
                                hosts -> cable.site(End.A, hosts),
                                hosts -> cable.site(End.B, hosts),
                                End.A.here(),
                                End.B.here())) {
            for (Moment moment : Moment.values()) {
                if (ALL || moment == Moment.HANDED_OVER) {
                    millis.put(moment, cut(cable, pair, moment));
                    pair.clear();
                }
            }
        }
        System.out.println("CABLE known after ms: " + millis);
    }

    private static long cut(Cable cable, MigratingPair pair, Moment moment) throws Exception {
        pair.a.client().create(pair.hosts.firmwareGuest("g"));
        Path begun = pair.hosts.directory.resolve("begun");
        Path goOn = pair.hosts.directory.resolve("go-on");
        Files.deleteIfExists(begun);
        List<String> hooks = List.of();
        if (moment == Moment.FINISH) {
            Process fifo = new ProcessBuilder("mkfifo", goOn.toString()).inheritIO().start();
            assertThat(fifo.waitFor()).isZero();
            MigrationTest.hook(
                    pair.hosts,
                    "blocking",
                    "[ $1 = deinit ] || { touch " + begun + "; read x <" + goOn + "; }");
            hooks = List.of("hook:blocking");
        }
        pair.proxy.arm(place(moment));
        CompletableFuture<String> moving =
                pair.migrate(pair.request(hooks, moment == Moment.ROUNDS ? 1 : 0, DEADLINE_MILLIS));
        if (moment == Moment.FINISH) {
            MigratingPair.await("the hook", () -> Files.exists(begun));
        } else {
            pair.proxy.awaitReached();
        }
        long cutNanos = System.nanoTime();
        cable.cut();
        pair.proxy.release();
        String result = moving.get(60, TimeUnit.SECONDS);
        long knownMillis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - cutNanos);
        System.out.printf("CABLE %s: %s; known after %d ms%n", moment, result, knownMillis);
        assertThat(knownMillis).isLessThan(KNOWN_MILLIS_MAX);
        if (moment == Moment.FINISH) {
            Files.writeString(goOn, "\n");
        }
        switch (moment) {
            case ROUNDS, PAUSE, FINISH -> {
                assertThat(result).startsWith("stayed: the destination is lost");
                assertThat(MigratingPair.runs(pair.a.client())).isTrue();
                // The destination finds out by itself.
                MigratingPair.await("b to be clear", () -> pair.b.client().list().isEmpty());
                cable.restore();
            }
            case HAND_OVER_LOST -> {
                undecided(pair, result);
                MigratingPair.await("b to be clear", () -> pair.b.client().list().isEmpty());
                cable.restore();
                MigratingPair.await("the guest on a", () -> MigratingPair.runs(pair.a.client()));
            }
            case HANDED_OVER -> {
                undecided(pair, result);
                assertThat(MigratingPair.runs(pair.b.client())).isTrue();
                cable.restore();
                MigratingPair.await(
                        "the end on a", () -> pair.a.client().status("g").state() == State.ENDED);
                assertThat(MigratingPair.runs(pair.b.client())).isTrue();
            }
        }
        assertThat(pair.running()).isEqualTo(1);
        pair.moveOn();
        return knownMillis;
    }

    /** It says who has the domain, that this copy stands still, and what to do. */
    private static void undecided(MigratingPair pair, String result) {
        assertThat(result)
                .startsWith("failed: \"g\" was handed over to node ")
                .contains("with generation 1")
                .contains("holdfast unprotect g")
                .contains("holdfast destroy g");
        DomainStatus status = pair.a.client().status("g");
        assertThat(status.state()).isEqualTo(State.STOPPED);
        assertThat(status.migration().phase()).isEqualTo("asking");
        assertThat(status.lastEvent().text()).contains("with generation 1");
    }

    private static Place place(Moment moment) {
        return switch (moment) {
            case ROUNDS -> new Place(ConnectionKind.BULK, Way.THERE, "STREAM", 4096, Act.HOLD);
            case PAUSE -> control(Way.THERE, "MIGRATION_PERFORMED");
            // Its hook stops it.
            case FINISH -> control(Way.BACK, "");
            case HAND_OVER_LOST -> control(Way.THERE, "HAND_OVER");
            case HANDED_OVER -> control(Way.BACK, "TAKEN_OVER");
        };
    }

    private static Place control(Way way, String message) {
        return new Place(ConnectionKind.MIGRATION, way, message, 0, Act.HOLD);
    }
}
