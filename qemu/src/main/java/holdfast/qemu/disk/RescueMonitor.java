package holdfast.qemu.disk;

import holdfast.qemu.qmp.QmpClient;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * A monitor that answers while QEMU waits for an export that hangs, its main loop and its guest
 * with it. Opened beforehand, or it is of no use: the word that makes a connection ready for
 * commands ({@code qmp_capabilities}) is answered by the main loop. Any thread.
 */
public final class RescueMonitor implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(RescueMonitor.class);

    private static final Duration LIMIT = Duration.ofSeconds(5);

    private final QmpClient monitor;
    private final Runnable end;

    private RescueMonitor(QmpClient monitor, Runnable end) {
        this.monitor = monitor;
        this.end = end;
    }

    /**
     * @param session the monitor that is used otherwise; a QEMU that Holdfast did not start has no
     *     second one, and then this takes the out-of-band commands, too
     * @param socket of the monitor for a QEMU that hangs, if it is there; it serves one client at a
     *     time
     * @throws holdfast.engine.HypervisorException if somebody else has it, QEMU hangs already, or
     *     the monitor does not offer out-of-band commands
     */
    public static RescueMonitor open(QmpClient session, Path socket) {
        if (!Files.exists(socket)) {
            session.requireOutOfBand();
            return new RescueMonitor(session, () -> {});
        }
        QmpClient own = QmpClient.connectOutOfBand(socket, LIMIT);
        return new RescueMonitor(own, own::close);
    }

    /**
     * Ends the connection of an NBD client: what it waits for fails, and what it is asked from then
     * on. It does not connect anew.
     *
     * @param node of the client
     * @throws holdfast.engine.HypervisorException if there is none, or QEMU is gone
     */
    void cut(String node) {
        LOG.warn("event=export-cut node={} reason=\"QEMU waits for it\"", node);
        monitor.executeOutOfBand(
                "yank",
                Map.of("instances", List.of(Map.of("type", "block-node", "node-name", node))),
                LIMIT);
    }

    /** Leaves the monitor free for another client. */
    @Override
    public void close() {
        end.run();
    }
}
