package holdfast.node;

import holdfast.engine.ReplicationException;
import holdfast.engine.port.GuestMemory;
import holdfast.node.session.MigrationRehearsal;
import holdfast.qemu.memory.MappedMemory;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * What this process does once before it matters, in the background: a daemon that was just started
 * has better things to do first.
 */
final class Rehearsal {
    private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);

    /** Enough for the compiler to have seen the code. */
    private static final int MIGRATIONS = 300;

    private static final AtomicBoolean BEGUN = new AtomicBoolean();

    private Rehearsal() {}

    /** Once in a process, however many nodes it has. */
    static void begin() {
        if (!BEGUN.getAndSet(true)) {
            Thread.ofPlatform()
                    .name("rehearsal")
                    .daemon()
                    .priority(Thread.MIN_PRIORITY)
                    .start(Rehearsal::run);
        }
    }

    private static void run() {
        linkSystemCalls();
        if (!MigrationRehearsal.run(MIGRATIONS)) {
            LOG.error("event=rehearsal-failed effect=\"none yet\"");
        }
    }

    /**
     * The first system calls of a virtual machine cost it some hundred milliseconds, in which it
     * makes classes for them: best not while another node waits for an answer.
     */
    private static void linkSystemCalls() {
        try {
            Path directory = Files.createTempDirectory("holdfast-rehearsal");
            try (MappedMemory memory =
                    MappedMemory.create(directory.resolve("page"), GuestMemory.PAGE_BYTES)) {
                memory.deleteFile();
            } finally {
                Files.deleteIfExists(directory);
            }
        } catch (IOException | ReplicationException e) {
            LOG.warn("event=rehearsal-failed effect=\"none\" reason=\"{}\"", e.getMessage());
        }
    }
}
