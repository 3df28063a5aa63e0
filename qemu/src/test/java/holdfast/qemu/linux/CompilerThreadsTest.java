package holdfast.qemu.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

class CompilerThreadsTest {
    private static final String SCHED_BATCH = "3";
    private static final String SCHED_IDLE = "5";

    /** The policy's place in /proc/PID/stat behind the name in parentheses, proc(5): field 41. */
    private static final int POLICY = 41 - 3;

    @Test
    void all_that_compile_are_batch_work_and_nobody_else_is() throws IOException {
        int made = CompilerThreads.makeBatch();
        assertThat(made).isPositive();
        assertThat(threads(SCHED_BATCH))
                .hasSize(made)
                .allMatch(name -> name.matches("C[12] Compiler.*"));
    }

    @Test
    void they_are_held_back_until_the_last_that_wants_it_is_done() throws IOException {
        int made = CompilerThreads.makeBatch();
        assumeThat(mayTakeItBack()).as("has CAP_SYS_NICE").isTrue();
        PauseThreads.Held outer = CompilerThreads.holdBack();
        PauseThreads.Held inner = CompilerThreads.holdBack();
        assertThat(threads(SCHED_IDLE)).hasSize(made);
        outer.close();
        outer.close();
        assertThat(threads(SCHED_IDLE)).hasSize(made);
        inner.close();
        assertThat(threads(SCHED_IDLE)).isEmpty();
        assertThat(threads(SCHED_BATCH)).hasSize(made);
    }

    @Test
    void nobody_holds_them_back_for_long() throws Exception {
        int made = CompilerThreads.makeBatch();
        assumeThat(mayTakeItBack()).as("has CAP_SYS_NICE").isTrue();
        PauseThreads.Held forgotten = CompilerThreads.holdBack(20);
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!threads(SCHED_IDLE).isEmpty() && System.nanoTime() < until) {
            Thread.onSpinWait();
        }
        assertThat(threads(SCHED_BATCH)).hasSize(made);
        forgotten.close();
        assertThat(threads(SCHED_BATCH)).hasSize(made);
    }

    private static boolean mayTakeItBack() throws IOException {
        return Files.getAttribute(Path.of("/proc/self/status"), "unix:uid").equals(0);
    }

    private static List<String> threads(String policy) throws IOException {
        List<String> found = new ArrayList<>();
        try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) {
            for (Path task : tasks.toList()) {
                if (has(task, policy)) {
                    found.add(Files.readString(task.resolve("comm")).strip());
                }
            }
        }
        return found;
    }

    private static boolean has(Path task, String policy) throws IOException {
        try {
            String stat = Files.readString(task.resolve("stat"));
            String[] behind = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return behind[POLICY].equals(policy);
        } catch (IOException e) {
            if (Files.exists(task)) {
                throw e;
            }
            // It has ended since it was listed.
            return false;
        }
    }
}
