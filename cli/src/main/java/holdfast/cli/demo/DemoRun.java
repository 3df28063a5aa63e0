package holdfast.cli.demo;

import java.io.PrintStream;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

/** The demo's job as a call, for whoever wants its figures and not its show. */
public final class DemoRun implements AutoCloseable {
    private final Demo demo;
    private final AtomicBoolean closed = new AtomicBoolean();

    private DemoRun(Demo demo) {
        this.demo = demo;
    }

    /**
     * Builds the three hosts.
     *
     * @param command the holdfast command, which the hosts' daemons are started by
     * @param guest directory with {@code vmlinuz} and {@code initrd.gz}
     * @param seconds how long the client writes before the host dies
     * @param intervalMillis the epoch
     * @param memoryMib of the guest
     * @param storage where Redis keeps what it is told
     * @param death what becomes of the primary's host
     * @param ending how far it goes
     * @param progress gets the timeline
     * @throws DemoException if the hosts cannot be made; nothing is left of them then
     */
    public static DemoRun open(
            Path command,
            Path guest,
            int seconds,
            int intervalMillis,
            int memoryMib,
            Storage storage,
            Death death,
            Ending ending,
            PrintStream progress) {
        return new DemoRun(
                Demo.open(
                        new Demo.Options(
                                command,
                                guest,
                                seconds,
                                intervalMillis,
                                memoryMib,
                                storage,
                                death,
                                ending),
                        new Timeline(progress)));
    }

    /**
     * Runs the job once; blocks for some twenty seconds.
     *
     * @throws DemoException if it could not be run to its end; the logs stay in its directory
     */
    public DemoResult run() {
        try {
            return demo.run();
        } catch (DemoException e) {
            throw new DemoException(e.getMessage() + "; logs: " + demo.directory(), e);
        }
    }

    /** Ends every process of the job and removes its namespaces and memory files. Idempotent. */
    @Override
    public void close() {
        if (closed.compareAndSet(false, true)) {
            demo.close();
        }
    }

    /** Removes the logs, which stay otherwise. */
    public void deleteLogs() {
        demo.deleteLogs();
    }
}
