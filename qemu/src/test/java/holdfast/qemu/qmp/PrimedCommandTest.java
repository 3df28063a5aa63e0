package holdfast.qemu.qmp;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.qemu.ScratchFiles;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Commands that a real QEMU has read but for their end. */
@Tag("qemu")
@Timeout(60)
class PrimedCommandTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private ScratchFiles scratch;
    private QemuFiles files;

    @BeforeEach
    void start() throws IOException {
        scratch = ScratchFiles.create();
        files = scratch.files("primed");
        scratch.owns(
                QemuProcess.start(
                        DomainSpec.of("primed", 32),
                        files,
                        Accelerator.TCG,
                        QemuCommandLine.Start.RUNNING,
                        LIMIT));
    }

    @AfterEach
    void end() throws IOException {
        scratch.close();
    }

    @Test
    void is_carried_out_when_it_is_finished_and_not_before() {
        try (QmpClient qmp = QmpClient.connect(files.qmp(), LIMIT);
                QmpClient other = QmpClient.connectOutOfBand(files.qmpOutOfBand(), LIMIT)) {
            for (int i = 0; i < 20; i++) {
                qmp.prime(QmpCommand.STOP);
                // Answered by the other monitor, after this one has read what was primed or not.
                assertThat(status(other)).isEqualTo("running");
                qmp.executeBefore(QmpCommand.CONTINUE, QmpCommand.STOP, LIMIT);
                assertThat(status(other)).isEqualTo("paused");
                qmp.execute("cont");
                assertThat(status(other)).isEqualTo("running");
            }
        }
    }

    @Test
    void is_withdrawn_by_any_other_and_then_never_carried_out() {
        try (QmpClient qmp = QmpClient.connect(files.qmp(), LIMIT)) {
            List<String> events = new CopyOnWriteArrayList<>();
            qmp.subscribe(event -> events.add(event.name()));
            for (int i = 0; i < 20; i++) {
                qmp.prime(QmpCommand.STOP);
                assertThat(status(qmp)).isEqualTo("running");
                qmp.prime(QmpCommand.STOP);
                qmp.prime(QmpCommand.CONTINUE);
                qmp.execute("cont");
            }
            assertThat(events).doesNotContain("STOP");
        }
    }

    @Test
    void is_forgotten_with_its_connection() {
        try (QmpClient qmp = QmpClient.connect(files.qmp(), LIMIT)) {
            qmp.prime(QmpCommand.STOP);
        }
        try (QmpClient next = QmpClient.connect(files.qmp(), LIMIT)) {
            assertThat(status(next)).isEqualTo("running");
        }
    }

    private static String status(QmpClient qmp) {
        return qmp.execute("query-status").path("status").asText();
    }
}
