package holdfast.qemu.net;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.ReachableFiles;
import holdfast.qemu.qmp.QmpClient;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;

/** The monitor commands around filters and their sockets. */
final class NetFilters {
    /** Front of the ids of everything we add, so that a restarted daemon knows its own. */
    static final String ID_PREFIX = "holdfast-";

    /** A healthy QEMU needs some milliseconds; the rest is for a starved host. */
    static final Duration LIMIT = Duration.ofSeconds(10);

    /** Between two looks at a chardev that is about to close. */
    private static final long POLL_NANOS = 500_000;

    private static final Logger log = LoggerFactory.getLogger(NetFilters.class);

    private NetFilters() {}

    /**
     * Adds a chardev that is connected to us.
     *
     * @return our end, in blocking mode
     */
    static SocketChannel connectChardev(QmpClient qmp, String id, Path socketDirectory) {
        Path path = socketDirectory.resolve(id + ".sock");
        try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            Files.deleteIfExists(path);
            listener.bind(UnixDomainSocketAddress.of(path), 1);
            ReachableFiles.openTo(path);
            listener.configureBlocking(false);
            Map<String, ?> address =
                    Map.of("type", "unix", "data", Map.of("path", path.toString()));
            qmp.execute(
                    "chardev-add",
                    Map.of(
                            "id",
                            id,
                            "backend",
                            Map.of(
                                    "type",
                                    "socket",
                                    "data",
                                    Map.of("addr", address, "server", false))));
            // QEMU connects before it answers.
            SocketChannel ours = listener.accept();
            if (ours == null) {
                removeChardev(qmp, id);
                throw new HypervisorException("chardev-add", id + " did not connect to " + path);
            }
            return ours;
        } catch (IOException e) {
            throw new HypervisorException("chardev-add", "no socket at " + path, e);
        } finally {
            try {
                Files.deleteIfExists(path);
            } catch (IOException e) {
                log.warn("socket={} cannot be deleted", path, e);
            }
        }
    }

    static void removeChardev(QmpClient qmp, String id) {
        qmp.execute("chardev-remove", Map.of("id", id));
    }

    static void removeFilter(QmpClient qmp, String id) {
        qmp.execute("object-del", Map.of("id", id));
    }

    /** Whether the guest's virtual CPUs run. */
    static boolean isRunning(QmpClient qmp) {
        return qmp.execute("query-status").path("running").asBoolean();
    }

    /** Waits until QEMU has read a chardev's last byte and our end of file behind it. */
    static void awaitDisconnected(QmpClient qmp, String id) {
        long startNanos = System.nanoTime();
        while (true) {
            String found = null;
            for (JsonNode chardev : qmp.execute("query-chardev")) {
                if (chardev.path("label").asText().equals(id)) {
                    found = chardev.path("filename").asText();
                }
            }
            if (found == null || found.startsWith("disconnected")) {
                return;
            }
            if (System.nanoTime() - startNanos > LIMIT.toNanos()) {
                throw new HypervisorException(
                        "query-chardev",
                        id
                                + " is still \""
                                + found
                                + "\" "
                                + LIMIT.toMillis()
                                + " ms after our end of file; expected \"disconnected\"");
            }
            LockSupport.parkNanos(POLL_NANOS);
        }
    }

    /** Removes all filters of ours, then all chardevs of ours: QEMU wants that order. */
    static int removeAll(QmpClient qmp) {
        int removed = 0;
        for (JsonNode object : qmp.execute("qom-list", Map.of("path", "/objects"))) {
            if (object.path("name").asText().startsWith(ID_PREFIX)
                    && object.path("type").asText().startsWith("child<filter-")) {
                removeFilter(qmp, object.path("name").asText());
                removed++;
            }
        }
        for (JsonNode chardev : qmp.execute("query-chardev")) {
            if (chardev.path("label").asText().startsWith(ID_PREFIX)) {
                removeChardev(qmp, chardev.path("label").asText());
                removed++;
            }
        }
        return removed;
    }

    /** Best effort: frees a socket nobody needs any more. */
    static void closeQuietly(SocketChannel channel, String what) {
        try {
            channel.close();
        } catch (IOException e) {
            log.debug("socket={} close failed", what, e);
        }
    }

    /** Waits for a thread of ours that has been told to end. */
    static void join(Thread thread) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    if (!thread.join(LIMIT)) {
                        throw new IllegalStateException(
                                "thread " + thread.getName() + " does not end: " + LIMIT);
                    }
                    return;
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
