package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.MigratingPair.Victim;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.link.FrameProxy.Act;
import holdfast.node.link.FrameProxy.Place;
import holdfast.node.link.FrameProxy.Way;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.link.ConnectionKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** What goes wrong right after HAND_OVER, on a real destination. */
@Tag("qemu")
@Timeout(180)
class MigrationHandOverTest {
    private static final int DEADLINE_MILLIS = 5_000;
    private static final Duration LIMIT = Duration.ofSeconds(10);

    /** When the destination's daemon dies whose QEMU has refused to run the guest. */
    enum Death {
        /** What was up is being taken down: nothing of the end is written down. */
        BEFORE_IT_IS_WRITTEN,
        /** It is written down; the source has not heard it. */
        BEFORE_IT_IS_HEARD,
        AFTER_IT_WAS_HEARD
    }

    /**
     * QEMU refuses to run a guest of which it is writing a dump; that goes into a pipe here, which
     * nobody reads.
     */
    @ParameterizedTest
    @EnumSource
    void a_guest_that_was_refused_to_run_is_the_sources_whenever_the_daemon_dies(Death death)
            throws Exception {
        try (MigratingPair pair = new MigratingPair()) {
            Path begun = pair.hosts.directory.resolve("begun");
            Path down = pair.hosts.directory.resolve("down");
            Path goOn = fifo(pair, "go-on");
            Path dump = fifo(pair, "dump");
            MigrationTest.hook(
                    pair.hosts,
                    "blocking",
                    """
                    if [ $1 = init ]; then touch %1$s; read x <%2$s; exit 0; fi
                    echo deinit >>%3$s
                    [ $(wc -l <%3$s) != 1 ] || %4$s\
                    """
                            .formatted(
                                    begun,
                                    goOn,
                                    down,
                                    death == Death.BEFORE_IT_IS_WRITTEN ? "read x <" + goOn : ":"));
            pair.a.client().create(pair.hosts.firmwareGuest("g"));
            place(death).ifPresent(pair.proxy::arm);
            CompletableFuture<String> moving =
                    pair.migrate(pair.request(List.of("hook:blocking"), 0, DEADLINE_MILLIS));
            MigratingPair.await("the hook", () -> Files.exists(begun));
            try (RandomAccessFile _ = new RandomAccessFile(dump.toFile(), "rw");
                    QmpClient qmp = QmpClient.connect(monitor(pair.b), LIMIT)) {
                qmp.execute(
                        "dump-guest-memory",
                        Map.of("paging", false, "protocol", "file:" + dump, "detach", true));
                Files.writeString(goOn, "\n");
                switch (death) {
                    case BEFORE_IT_IS_WRITTEN ->
                            MigratingPair.await("its end", () -> Files.exists(down));
                    case BEFORE_IT_IS_HEARD -> pair.proxy.awaitReached();
                    case AFTER_IT_WAS_HEARD ->
                            assertThat(moving.get(60, TimeUnit.SECONDS))
                                    .startsWith("stayed")
                                    .contains("There is a dump in process");
                }
                pair.kill(Victim.DESTINATION_DAEMON);
                pair.proxy.cut();
            }
            String result = moving.get(60, TimeUnit.SECONDS);
            System.out.println("REFUSED " + death + ": " + result);
            pair.restart(Victim.DESTINATION_DAEMON);
            MigratingPair.await("the guest on a", () -> MigratingPair.runs(pair.a.client()));
            assertThat(pair.b.client().list()).isEmpty();
            assertThat(pair.a.client().status("g").protection()).isNull();
            // One that the daemon died at is ended and done again.
            assertThat(down)
                    .content()
                    .isEqualTo("deinit\n".repeat(death == Death.BEFORE_IT_IS_WRITTEN ? 2 : 1));
            pair.moveOn();
        }
    }

    private static Optional<Place> place(Death death) {
        return switch (death) {
            case BEFORE_IT_IS_WRITTEN, AFTER_IT_WAS_HEARD -> Optional.empty();
            case BEFORE_IT_IS_HEARD ->
                    Optional.of(
                            new Place(
                                    ConnectionKind.MIGRATION,
                                    Way.BACK,
                                    "ROLLED_BACK",
                                    0,
                                    Act.HOLD));
        };
    }

    private static Path fifo(MigratingPair pair, String name) throws Exception {
        Path fifo = pair.hosts.directory.resolve(name);
        Process process = new ProcessBuilder("mkfifo", fifo.toString()).inheritIO().start();
        assertThat(process.waitFor()).isZero();
        return fifo;
    }

    private static Path monitor(TestDaemon host) throws IOException {
        try (Stream<Path> files = Files.walk(host.state().resolve("run"))) {
            return files.filter(file -> file.endsWith("qmp-oob.sock")).findFirst().orElseThrow();
        }
    }

    /**
     * Its disk fails in the pause: the name of the ledger's entry cannot be changed, here because
     * something is in its place. The guest runs by then, and the source has ended its copy.
     */
    @Test
    void a_take_over_that_cannot_be_written_down_holds_for_the_next_daemon_too() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            Path sessions = hosts.directory.resolve("b/sessions");
            Path taken = hosts.directory.resolve("b/run/taken");
            MigrationTest.hook(
                    hosts,
                    "in-the-way",
                    "f=%s/$HOLDFAST_MIGRATION.json; rm $f; mkdir $f; touch $f/x"
                            .formatted(sessions));
            a.create(hosts.firmwareGuest("g"));
            MigrateResult moved =
                    a.migrate(
                            MigrateRequest.of("g", "127.0.0.1:" + b.port())
                                    .withFeatures(List.of("hook:in-the-way"), List.of()),
                            ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            DomainStatus there = b.status("g");
            assertThat(there.state()).isEqualTo(State.RUNNING);
            assertThat(a.status("g").state()).isEqualTo(State.ENDED);
            assertThat(taken).isNotEmptyDirectory();

            // It died before it had noted anything else of the guest either.
            b.abandon();
            hosts.rewriteRuntime("b", "g", Role.ARRIVING, 0);
            Node next = hosts.start("b");
            assertThat(next.status("g").state()).isEqualTo(State.RUNNING);
            assertThat(next.status("g").pid()).isEqualTo(there.pid());
            assertThat(taken).isNotEmptyDirectory();

            next.abandon();
            for (Path file : entries(sessions)) {
                if (Files.isDirectory(file)) {
                    Files.delete(file.resolve("x"));
                    Files.delete(file);
                }
            }
            Node mended = hosts.start("b");
            assertThat(mended.status("g").state()).isEqualTo(State.RUNNING);
            assertThat(mended.status("g").pid()).isEqualTo(there.pid());
            assertThat(taken).isEmptyDirectory();
            assertThat(entries(sessions)).singleElement().asString().endsWith(".json");
        }
    }

    private static List<Path> entries(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.toList();
        }
    }
}
