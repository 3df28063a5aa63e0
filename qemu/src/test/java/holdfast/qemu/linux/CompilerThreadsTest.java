package holdfast.qemu.linux;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

class CompilerThreadsTest {
    private static final String SCHED_BATCH = "3";

    /** The policy's place in /proc/PID/stat behind the name in parentheses, proc(5): field 41. */
    private static final int POLICY = 41 - 3;

    @Test
    void all_that_compile_are_batch_work_and_nobody_else_is() throws IOException {
        int made = CompilerThreads.makeBatch();
        List<String> batch = new ArrayList<>();
        try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) {
            for (Path task : tasks.toList()) {
                if (isBatch(task)) {
                    batch.add(Files.readString(task.resolve("comm")).strip());
                }
            }
        }
        assertThat(made).isPositive();
        assertThat(batch).hasSize(made).allMatch(name -> name.matches("C[12] Compiler.*"));
    }

    private static boolean isBatch(Path task) throws IOException {
        try {
            String stat = Files.readString(task.resolve("stat"));
            String[] behind = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            return behind[POLICY].equals(SCHED_BATCH);
        } catch (IOException e) {
            if (Files.exists(task)) {
                throw e;
            }
            // It has ended since it was listed.
            return false;
        }
    }
}
