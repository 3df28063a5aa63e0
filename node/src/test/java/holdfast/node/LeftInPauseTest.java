package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** A QEMU whose daemon died in a guest's pause, in which it ran before all others. */
@Tag("qemu")
@Timeout(60)
class LeftInPauseTest {
    /** The one by which a daemon knows what another did. */
    private static final String PRIORITY = "7";

    /** Its monitor is away, so that meeting it fails: it is calmed before that. */
    @Test
    void it_runs_like_others_before_any_domain_is_met() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node dying = hosts.start("n");
            long pid = dying.create(hosts.firmwareGuest("g")).pid();
            dying.abandon();
            // Its first thread stays as long as it does.
            String thread = Long.toString(pid);
            assumeThat(chrt("--reset-on-fork", "--rr", "-p", PRIORITY, thread).ended())
                    .as("may schedule as real-time")
                    .isZero();
            assertThat(chrt("-p", thread).text()).contains("SCHED_RR");
            Path monitor = monitor(hosts);
            Path away = monitor.resolveSibling("away");
            Files.move(monitor, away);
            try {
                assertThat(hosts.start("n").list()).isEmpty();
                assertThat(chrt("-p", thread).text()).contains("SCHED_OTHER");
            } finally {
                Files.move(away, monitor);
            }
        }
    }

    private static Path monitor(TestHosts hosts) throws Exception {
        try (Stream<Path> files = Files.walk(hosts.directory.resolve("n").resolve("run"))) {
            return files.filter(file -> file.endsWith("qmp.sock")).findFirst().orElseThrow();
        }
    }

    private record Said(int ended, String text) {}

    private static Said chrt(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("chrt"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Said(process.waitFor(), text);
    }
}
