package holdfast.qemu.domain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import holdfast.qemu.ScratchFiles;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuProcess;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** Which threads of a real QEMU run first in a pause, and which never do. */
@Tag("qemu")
@Timeout(120)
class PausePriorityTest {
    private static final String ORDINARY = "0";
    private static final String ROUND_ROBIN = "2";

    /** The policy's place in /proc/PID/stat behind the name in parentheses, proc(5): field 41. */
    private static final int POLICY = 41 - 3;

    /** A processor that ran first would leave nobody the one on which to tell it to stop. */
    @Test
    void all_but_what_runs_the_guest_runs_first_and_only_in_the_pause() throws IOException {
        assumeThat(Files.getAttribute(Path.of("/proc/self/status"), "unix:uid"))
                .as("root: has CAP_SYS_NICE")
                .isEqualTo(0);
        try (ScratchFiles scratch = ScratchFiles.create()) {
            QemuProcess process =
                    scratch.owns(
                            QemuProcess.start(
                                    DomainSpec.of("first", 64),
                                    scratch.files("a"),
                                    Accelerator.TCG,
                                    QemuCommandLine.Start.RUNNING,
                                    Duration.ofSeconds(20)));
            int main = (int) process.pid();
            try (QemuDomain domain = QemuDomain.attach(process, scratch.memory().resolve("a"))) {
                int processor =
                        domain.qmp().execute("query-cpus-fast").path(0).path("thread-id").asInt();
                assertThat(processor).isPositive().isNotEqualTo(main);
                assertThat(policies(main)).doesNotContainValue(ROUND_ROBIN);

                domain.suspend();
                Map<Integer, String> suspended = policies(main);
                domain.resume();
                assertThat(suspended)
                        .containsEntry(main, ROUND_ROBIN)
                        .containsEntry(processor, ORDINARY);
                assertThat(policies(main)).doesNotContainValue(ROUND_ROBIN);

                domain.suspendForHandOver();
                assertThat(policies(main))
                        .containsEntry(main, ROUND_ROBIN)
                        .containsEntry(processor, ORDINARY);
                // A daemon that dies here leaves them so; whoever takes it over takes them back.
            }
            try (QemuDomain _ =
                    QemuDomain.attachSuspended(
                            process.files().qmp(), scratch.memory().resolve("a"))) {
                assertThat(policies(main)).doesNotContainValue(ROUND_ROBIN);
            }
        }
    }

    private static Map<Integer, String> policies(int pid) throws IOException {
        Map<Integer, String> policies = new TreeMap<>();
        try (Stream<Path> tasks = Files.list(Path.of("/proc", Integer.toString(pid), "task"))) {
            for (Path task : tasks.toList()) {
                String stat = Files.readString(task.resolve("stat"));
                policies.put(
                        Integer.parseInt(task.getFileName().toString()),
                        stat.substring(stat.lastIndexOf(')') + 2).split(" ")[POLICY]);
            }
        }
        return policies;
    }
}
