package holdfast.node;

import holdfast.node.api.ApiException;
import holdfast.node.api.ApiServer;
import holdfast.node.config.NodeFile;
import holdfast.node.store.StateDirectory;
import holdfast.qemu.linux.CompilerThreads;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** {@code holdfastd}: a node and its API socket, until somebody asks for its end. */
public final class Daemon {
    private static final Logger LOG = LoggerFactory.getLogger(Daemon.class);

    /** An end in order takes no longer. */
    private static final long END_SECONDS = 60;

    private Daemon() {}

    /**
     * Runs a node; returns when it has ended in order, by request or SIGTERM.
     *
     * @throws ApiException if it cannot start; nothing was changed
     */
    public static void run(NodeFile file, StateDirectory state) {
        state.create();
        int compilers = CompilerThreads.makeBatch();
        LOG.debug("event=compilers-batch threads={}", compilers);
        CountDownLatch ended = new CountDownLatch(1);
        try (StateDirectory.Held _ = state.hold();
                Node node =
                        Node.start(
                                new Node.Settings(
                                        file.name(),
                                        file.host(),
                                        file.port(),
                                        state,
                                        file.ramDirectory(),
                                        file.replicaDirectory(),
                                        file.heartbeatMillis(),
                                        file.deadlineMillis(),
                                        file.reprotect() ? Node.Looks.BY_ITSELF : Node.Looks.NEVER,
                                        file.hooksDirectory()));
                ApiServer api = ApiServer.start(node, state.socket())) {
            LOG.info("event=api-started socket={}", api.socket());
            Runtime.getRuntime()
                    .addShutdownHook(
                            new Thread(
                                    () -> {
                                        // At WARN, so that no daemon ends without a word.
                                        if (ended.getCount() > 0) {
                                            LOG.warn(
                                                    "event=told-to-end by=\"a signal (SIGTERM,"
                                                            + " SIGINT or SIGHUP)\"");
                                        }
                                        node.stopNode();
                                        awaitQuietly(ended);
                                    },
                                    "shutdown"));
            node.awaitStop();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            ended.countDown();
        }
    }

    /** Not for the caller's thread: that may be the one that runs the hooks, in System.exit. */
    private static void awaitQuietly(CountDownLatch ended) {
        try {
            if (!ended.await(END_SECONDS, TimeUnit.SECONDS)) {
                LOG.warn("event=not-ended-in-order seconds={}", END_SECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /**
     * @param arguments optionally a node file
     */
    public static void main(String[] arguments) {
        try {
            NodeFile file =
                    arguments.length == 0
                            ? NodeFile.defaults()
                            : NodeFile.read(Path.of(arguments[0]).toAbsolutePath());
            run(
                    file,
                    StateDirectory.choose(
                            file.stateDirectory(),
                            System.getProperty("user.name"),
                            Map.copyOf(System.getenv())));
        } catch (RuntimeException e) {
            LOG.error("event=not-started reason=\"{}\"", e.getMessage());
            System.exit(e instanceof ApiException api ? api.kind().exitStatus() : 1);
        }
    }
}
