package holdfast.qemu.linux;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The threads of this virtual machine that compile. They wake up whenever some method has run often
 * enough, which is just when something happens; on a host with few cores they would push aside the
 * thread that a guest's pause waits for.
 */
public final class CompilerThreads {
    private static final Logger LOG = LoggerFactory.getLogger(CompilerThreads.class);
    private static final Path TASKS = Path.of("/proc/self/task");

    private CompilerThreads() {}

    /**
     * Makes those that there are batch work: they get their share of the processor, but a wake-up
     * of theirs interrupts nobody (sched(7), SCHED_BATCH). To be called once, with the virtual
     * machine's number of them fixed. Where it is refused they stay as they are.
     *
     * @return how many there are
     */
    public static int makeBatch() {
        int made = 0;
        try (DirectoryStream<Path> tasks = Files.newDirectoryStream(TASKS)) {
            for (Path task : tasks) {
                if (isCompiler(Files.readString(task.resolve("comm")))) {
                    Syscalls.schedBatch(Integer.parseInt(task.getFileName().toString()));
                    made++;
                }
            }
        } catch (IOException | SystemCallException e) {
            LOG.info("event=compilers-not-batch reason=\"{}\"", e.getMessage());
        }
        return made;
    }

    private static boolean isCompiler(String comm) {
        return comm.startsWith("C1 Compiler") || comm.startsWith("C2 Compiler");
    }
}
