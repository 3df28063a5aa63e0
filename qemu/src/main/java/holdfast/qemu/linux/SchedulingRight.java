package holdfast.qemu.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Whether this process may schedule threads as it likes, CAP_SYS_NICE: without it there is a way
 * down (SCHED_IDLE) but none back. A process keeps what it has when it starts.
 */
final class SchedulingRight {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final String EFFECTIVE = "CapEff:";
    private static final int CAP_SYS_NICE = 23;

    static final boolean HELD = read();

    private SchedulingRight() {}

    private static boolean read() {
        try {
            return Files.readAllLines(STATUS).stream()
                    .filter(line -> line.startsWith(EFFECTIVE))
                    .map(line -> line.substring(EFFECTIVE.length()).strip())
                    .map(set -> Long.parseUnsignedLong(set, 16))
                    .anyMatch(capabilities -> (capabilities >>> CAP_SYS_NICE & 1) == 1);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + STATUS, e);
        }
    }
}
