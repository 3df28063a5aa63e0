package holdfast.qemu.domain;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.qemu.ScratchFiles;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.time.Duration;

/** Whoever lets the guest go on through another monitor in a checkpoint's pause is noticed. */
@Tag("qemu")
@Timeout(60)
class DisturbedPauseTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final String SOMEBODY_ELSE = "somebody else let the guest go on";

    private ScratchFiles scratch;
    private QemuDomain domain;
    private QmpClient other;

    @BeforeEach
    void start() throws IOException {
        scratch = ScratchFiles.create();
        QemuFiles files = scratch.files("disturbed");
        QemuProcess process =
                scratch.owns(
                        QemuProcess.start(
                                DomainSpec.of("disturbed", 32),
                                files,
                                Accelerator.TCG,
                                QemuCommandLine.Start.RUNNING,
                                LIMIT));
        domain = QemuDomain.attach(process, scratch.memory().resolve("a"));
        other = QmpClient.connectOutOfBand(files.qmpOutOfBand(), LIMIT);
    }

    @AfterEach
    void end() throws IOException {
        other.close();
        domain.close();
        scratch.close();
    }

    @Test
    void a_guest_that_went_on_and_was_stopped_again_before_the_copy() {
        domain.suspend();
        other.execute("cont");
        other.execute("stop");
        domain.saveDeviceState();
        domain.resume();
        assertThat(domain.disturbance()).get().asString().contains(SOMEBODY_ELSE);
        requireQuiet();
    }

    @Test
    void a_guest_that_runs_already_when_it_is_resumed() {
        domain.suspend();
        domain.saveDeviceState();
        // Our own makes no RESUME then: there is exactly one, as in an undisturbed pause.
        other.execute("cont");
        domain.resume();
        assertThat(domain.disturbance()).get().asString().contains(SOMEBODY_ELSE);
        requireQuiet();
    }

    @Test
    void a_guest_that_went_on_before_it_was_saved() {
        domain.suspend();
        other.execute("cont");
        domain.saveDeviceState();
        domain.resume();
        assertThat(domain.disturbance()).get().asString().contains(SOMEBODY_ELSE);
        requireQuiet();
    }

    @Test
    void a_guest_that_stands_still_when_it_is_asked() {
        domain.suspend();
        assertThat(domain.disturbance()).isEmpty();
        other.execute("cont");
        other.execute("stop");
        assertThat(domain.disturbance()).get().asString().contains(SOMEBODY_ELSE);
        domain.resume();
        assertThat(domain.disturbance()).get().asString().contains(SOMEBODY_ELSE);
        domain.resume();
        assertThat(domain.disturbance()).as("of the same pause").isPresent();
        requireQuiet();
    }

    @Test
    void what_others_do_between_two_pauses_disturbs_none() {
        for (int i = 0; i < 20; i++) {
            requireQuiet();
            other.execute("stop");
            other.execute("cont");
            requireQuiet();
            other.execute("stop");
            requireQuiet();
        }
    }

    private void requireQuiet() {
        domain.suspend();
        domain.saveDeviceState();
        domain.resume();
        assertThat(domain.disturbance()).isEmpty();
    }
}
