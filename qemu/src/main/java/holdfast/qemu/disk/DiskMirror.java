package holdfast.qemu.disk;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.engine.HypervisorException;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpEvent;
import holdfast.qemu.qmp.QmpReply;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * One disk of a running QEMU, mirrored to an NBD export. Attached, watched and removed by one
 * thread; {@link #failure} may be asked by any.
 */
public final class DiskMirror implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(DiskMirror.class);

    /** Front of the names of everything we add, so that a restarted daemon knows its own. */
    private static final String PREFIX = "holdfast-";

    private static final String JOB = PREFIX + "disk-";
    private static final String TARGET = PREFIX + "replica-";
    private static final String FILTER = PREFIX + "mirror-";

    private static final Duration END_LIMIT = Duration.ofSeconds(5);

    /** Hears what becomes of the mirror, on the monitor's thread: it must return at once. */
    public interface Listener {
        /** All is copied, and every write reaches the export from here on. */
        void ready();

        /** The job has ended, or writes pass it by; the guest is unharmed. Once. */
        void failed(String reason);
    }

    /**
     * How far the copy is; the guest's writes make the total grow.
     *
     * @param doneBytes copied, zeroes included
     */
    public record Progress(long doneBytes, long totalBytes) {}

    private final QmpClient qmp;
    private final Path outOfBand;
    private final int index;
    private final Listener listener;
    private final QmpClient.Subscription events;
    private volatile Optional<String> failure = Optional.empty();
    private volatile boolean closing;

    private DiskMirror(QmpClient qmp, Path outOfBand, int index, Listener listener) {
        this.qmp = qmp;
        this.outOfBand = outOfBand;
        this.index = index;
        this.listener = listener;
        this.events = qmp.subscribe(this::onEvent);
    }

    /**
     * Begins to mirror; the guest runs meanwhile. Where it fails, the disk is as before.
     *
     * @param outOfBand the monitor for a QEMU that hangs; free for a client
     * @param index of the domain's disk, for names
     * @param node the disk's block node
     * @param export of an NBD server that listens on {@code socket}, as large as the disk
     * @throws HypervisorException if QEMU refuses
     */
    public static DiskMirror start(
            QmpClient qmp,
            Path outOfBand,
            int index,
            String node,
            Path socket,
            String export,
            Listener listener) {
        DiskMirror mirror = new DiskMirror(qmp, outOfBand, index, listener);
        try {
            mirror.attach(node, socket, export);
            return mirror;
        } catch (HypervisorException e) {
            try {
                mirror.close();
            } catch (HypervisorException alsoFailed) {
                e.addSuppressed(alsoFailed);
            }
            throw e;
        }
    }

    private void attach(String node, Path socket, String export) {
        qmp.execute(
                "blockdev-add",
                Map.of(
                        "driver",
                        "nbd",
                        "node-name",
                        TARGET + index,
                        "server",
                        Map.of("type", "unix", "path", socket.toString()),
                        "export",
                        export));
        qmp.execute(
                "blockdev-mirror",
                Map.of(
                        "job-id",
                        JOB + index,
                        "device",
                        node,
                        "target",
                        TARGET + index,
                        "sync",
                        "full",
                        "copy-mode",
                        "write-blocking",
                        // Ignoring would keep the job and lose the writes; stopping would stop the
                        // guest.
                        "on-target-error",
                        "report",
                        "filter-node-name",
                        FILTER + index));
    }

    private void onEvent(QmpEvent event) {
        if (!event.data().path("device").asText().equals(JOB + index)) {
            return;
        }
        switch (event.name()) {
            case "BLOCK_JOB_READY" -> listener.ready();
            case "BLOCK_JOB_ERROR" ->
                    fail("a " + event.data().path("operation").asText() + " failed");
            case "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED" ->
                    fail("it ended: " + event.data().path("error").asText("without an error"));
            default -> {}
        }
    }

    private void fail(String what) {
        if (closing || failure.isPresent()) {
            return;
        }
        String reason = "QEMU's mirror of disk " + index + " does not go on: " + what;
        failure = Optional.of(reason);
        listener.failed(reason);
    }

    /**
     * Why writes of the guest may have passed the export by; empty while none can have. Exact for
     * all writes of before a command whose reply has come in, {@code stop} above all: QEMU tells of
     * the job's end first.
     */
    public Optional<String> failure() {
        return failure;
    }

    /**
     * @throws HypervisorException if the job is not there any more
     */
    public Progress progress() {
        for (JsonNode job : qmp.execute("query-block-jobs")) {
            if (job.path("device").asText().equals(JOB + index)) {
                return new Progress(job.path("offset").asLong(), job.path("len").asLong());
            }
        }
        throw new HypervisorException("query-block-jobs", JOB + index + " is not there");
    }

    /** The size of a block node's content. */
    public static long sizeBytes(QmpClient qmp, String node) {
        return image(qmp, node).path("virtual-size").asLong();
    }

    /** What a block node's image takes of its storage; 0 where that cannot be said. */
    public static long allocatedBytes(QmpClient qmp, String node) {
        return image(qmp, node).path("actual-size").asLong();
    }

    private static JsonNode image(QmpClient qmp, String node) {
        for (JsonNode found : qmp.execute("query-named-block-nodes", Map.of("flat", true))) {
            if (found.path("node-name").asText().equals(node)) {
                return found.path("image");
            }
        }
        throw new HypervisorException("query-named-block-nodes", "there is no node " + node);
    }

    /**
     * Takes the mirror out; the disk is as it was before. The export should answer, or its
     * connection be closed; where it hangs it is cut off. May be called again where it fails; a
     * QEMU that is gone is no failure.
     */
    @Override
    public void close() {
        closing = true;
        try {
            remove(qmp, Optional.of(outOfBand), JOB + index, TARGET + index);
        } catch (HypervisorException e) {
            if (qmp.closedBecause().isEmpty()) {
                throw e;
            }
        }
        events.close();
    }

    /**
     * Ends the job and leaves the rest to {@link #close}: for the moments in which a guest that
     * stands still is waited for. Only while it does; what it wrote before has reached the export.
     */
    public void end() {
        closing = true;
        endJob(qmp, Optional.of(outOfBand), JOB + index, TARGET + index);
    }

    private static void remove(QmpClient qmp, Optional<Path> outOfBand, String job, String target) {
        endJob(qmp, outOfBand, job, target);
        removeTarget(qmp, target);
    }

    private static void endJob(QmpClient qmp, Optional<Path> outOfBand, String job, String target) {
        try (QmpClient.ExpectedEvent gone =
                qmp.expect(
                        "JOB_STATUS_CHANGE",
                        event ->
                                event.data().path("id").asText().equals(job)
                                        && event.data().path("status").asText().equals("null"))) {
            // Forced: what the export has is worth nothing to anybody any more.
            if (ended(
                    qmp.request(
                            "block-job-cancel",
                            Map.of("device", job, "force", true),
                            QmpClient.COMMAND_LIMIT))) {
                return;
            }
            try {
                gone.await(END_LIMIT);
            } catch (HypervisorException e) {
                if (outOfBand.isEmpty() || qmp.closedBecause().isPresent()) {
                    throw e;
                }
                cutOff(outOfBand.get(), target);
                gone.await(END_LIMIT);
            }
        }
    }

    /** Whether the job was not there any more. */
    private static boolean ended(QmpReply reply) {
        return switch (reply) {
            case QmpReply.Returned _ -> false;
            case QmpReply.Failed(String errorClass, String _)
                    when errorClass.equals("DeviceNotActive") ->
                    true;
            case QmpReply.Failed _ -> {
                reply.orThrow("block-job-cancel");
                yield false;
            }
        };
    }

    private static void cutOff(Path outOfBand, String target) {
        LOG.warn("target={} the export hangs: its connection is cut", target);
        try (QmpClient second = QmpClient.connectOutOfBand(outOfBand, END_LIMIT)) {
            second.executeOutOfBand(
                    "yank",
                    Map.of("instances", List.of(Map.of("type", "block-node", "node-name", target))),
                    END_LIMIT);
        }
    }

    private static void removeTarget(QmpClient qmp, String target) {
        if (nodes(qmp).contains(target)) {
            qmp.execute("blockdev-del", Map.of("node-name", target));
        }
    }

    private static List<String> nodes(QmpClient qmp) {
        List<String> names = new ArrayList<>();
        for (JsonNode node : qmp.execute("query-named-block-nodes", Map.of("flat", true))) {
            names.add(node.path("node-name").asText());
        }
        return names;
    }

    /**
     * Removes what a killed daemon left in a QEMU. Only while no mirror of ours is in force there.
     *
     * @return number of mirrors removed
     */
    public static int removeLeftovers(QmpClient qmp, Path outOfBand) {
        int removed = 0;
        for (String target : nodes(qmp)) {
            if (target.startsWith(TARGET)) {
                String index = target.substring(TARGET.length());
                remove(qmp, Optional.of(outOfBand), JOB + index, target);
                removed++;
            }
        }
        return removed;
    }
}
