package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.config.DomainFile;
import holdfast.node.store.DomainStore;
import holdfast.node.store.StateDirectory;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.link.Standing;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Hooks of a domain that was being moved to a node whose daemon died, beside a guest of another
 * domain that the dead one had stopped.
 */
@Tag("qemu")
@Timeout(120)
class LeftArrivalTest {
    private static final String ARRIVING = "a1";
    private static final String STOPPED = "b1";
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private TestHosts hosts;
    private SessionLedger ledger;
    private Path said;
    private Path goOn;

    @BeforeEach
    void start() throws Exception {
        hosts = new TestHosts();
        said = hosts.directory.resolve("said");
        goOn = hosts.directory.resolve("go-on");
        Node dying = hosts.start("n");
        dying.create(hosts.firmwareGuest(ARRIVING));
        dying.create(hosts.firmwareGuest(STOPPED));
        dying.abandon();
        try (QmpClient qmp = QmpClient.connect(place(STOPPED).resolve("qmp.sock"), LIMIT)) {
            qmp.execute("stop");
        }
        HookLog log = new HookLog(place(ARRIVING).resolve("hooks"));
        log.note(HookLog.Stage.BEGUN, "h");
        log.note(HookLog.Stage.UP, "h");
        hosts.rewriteRuntime("n", ARRIVING, Role.ARRIVING, 0);
        Path state = hosts.directory.resolve("n");
        ledger = new SessionLedger(state.resolve("sessions"), state.resolve("run/taken"));
    }

    @AfterEach
    void close() throws Exception {
        hosts.close();
    }

    private Path place(String domain) {
        return Path.of(
                        new DomainStore<>(
                                        new StateDirectory(hosts.directory.resolve("n")).domains(),
                                        DomainFile.CODEC)
                                .load().domains().stream()
                                        .filter(stored -> stored.name().equals(domain))
                                        .findFirst()
                                        .orElseThrow()
                                        .runtime()
                                        .orElseThrow()
                                        .qmpSocket())
                .getParent();
    }

    private SessionLedger.Entry session(long generation) {
        SessionLedger.Entry entry =
                new SessionLedger.Entry(
                        UUID.randomUUID(),
                        ARRIVING,
                        SessionLedger.Side.SECONDARY,
                        Standing.UNDECIDED,
                        generation,
                        "peer",
                        "none",
                        0);
        ledger.put(entry);
        return entry;
    }

    private Standing standing(SessionLedger.Entry entry) {
        return ledger.get(entry.session()).orElseThrow().standing();
    }

    @ParameterizedTest
    @CsvSource({
        "0, DISCARDED",
        // It may have run.
        "1, UNDECIDED"
    })
    void hooks_go_down_when_all_guests_are_met_and_before_the_source_hears_of_it(
            long generation, Standing expected) throws Exception {
        new ProcessBuilder("mkfifo", goOn.toString()).inheritIO().start().waitFor();
        MigrationTest.hook(hosts, "h", "echo $1 $2 $3 >>%s; read x <%s".formatted(said, goOn));
        SessionLedger.Entry entry = session(generation);
        Path place = place(ARRIVING);
        Path other = place(STOPPED).resolve("qmp-oob.sock");

        CompletableFuture<Node> starting = CompletableFuture.supplyAsync(() -> hosts.start("n"));
        MigratingPair.await("the hook", () -> Files.exists(said) || starting.isDone());
        assertThat(starting).isNotDone();
        try (QmpClient qmp = QmpClient.connect(other, LIMIT)) {
            assertThat(qmp.execute("query-status").path("status").asText()).isEqualTo("running");
        }
        assertThat(standing(entry)).isEqualTo(Standing.UNDECIDED);
        // For the daemon after this one, if it dies now.
        assertThat(place).exists();
        Files.writeString(goOn, "\n");

        Node again = starting.get(60, TimeUnit.SECONDS);
        assertThat(said).hasContent("deinit %s %s".formatted(ARRIVING, entry.session()));
        assertThat(standing(entry)).isEqualTo(expected);
        assertThat(place).doesNotExist();
        assertThat(again.list()).extracting(DomainStatus::name).containsExactly(STOPPED);
    }

    /** It is in the log, and not run for a migration that it is not of. */
    @Test
    void hooks_of_an_unknown_migration_are_left() throws Exception {
        MigrationTest.hook(hosts, "h", "echo $1 >>" + said);
        SessionLedger.Entry other = session(7);
        Path place = place(ARRIVING);
        Node again = hosts.start("n");
        assertThat(said).doesNotExist();
        assertThat(standing(other)).isEqualTo(Standing.UNDECIDED);
        assertThat(place).doesNotExist();
        assertThat(again.list()).extracting(DomainStatus::name).containsExactly(STOPPED);
    }
}
