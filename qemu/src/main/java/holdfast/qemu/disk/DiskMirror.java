package holdfast.qemu.disk;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.engine.HypervisorException;
import holdfast.qemu.net.GuestStop;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpEvent;
import holdfast.qemu.qmp.QmpReply;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * One disk of a running QEMU, mirrored to an NBD export. Attached, watched and removed by one
 * thread; {@link #failure} may be asked by any.
 *
 * <p><b>No job ends while the guest writes.</b> QEMU (7.2: {@code mirror_run}) frees what a job
 * keeps of writes in flight before those have ended, and a guest's write then corrupts its heap,
 * which it dies of. So jobs are cancelled only while the guest is suspended, and one that meets an
 * error stands still until then.
 */
public final class DiskMirror {
    /** Front of the names of everything we add, so that a restarted daemon knows its own. */
    private static final String PREFIX = "holdfast-";

    private static final String JOB = PREFIX + "disk-";
    private static final String TARGET = PREFIX + "replica-";
    private static final String FILTER = PREFIX + "mirror-";

    private static final Duration END_LIMIT = Duration.ofSeconds(5);

    /** The guest stands still until its QEMU is connected. */
    private static final Duration OPEN_LIMIT = Duration.ofSeconds(3);

    /** Hears what becomes of the mirror, on the monitor's thread: it must return at once. */
    public interface Listener {
        /** All is copied, and every write reaches the export from here on. */
        void ready();

        /** The job has ended, or stands, and a write may have passed it by. Once. */
        void failed(String reason);
    }

    /**
     * How far the copy is; the guest's writes make the total grow.
     *
     * @param doneBytes copied, zeroes included
     */
    public record Progress(long doneBytes, long totalBytes) {}

    private final QmpClient qmp;
    private final RescueMonitor rescue;
    private final int index;
    private final Listener listener;
    private final QmpClient.Subscription events;
    private volatile Optional<String> failure = Optional.empty();
    private volatile boolean closing;
    private volatile boolean dying;

    private DiskMirror(QmpClient qmp, RescueMonitor rescue, int index, Listener listener) {
        this.qmp = qmp;
        this.rescue = rescue;
        this.index = index;
        this.listener = listener;
        this.events = qmp.subscribe(this::onEvent);
    }

    /**
     * Begins to mirror; the guest runs meanwhile. Where it fails, the disk is as before.
     *
     * @param stop for the moment in which what was attached is removed again, where it fails
     * @param rescue of this QEMU; stays open as long as the mirror is there
     * @param index of the domain's disk, for names
     * @param node the disk's block node
     * @param export of an NBD server that listens on {@code socket}, as large as the disk
     * @throws HypervisorException if QEMU refuses
     */
    public static DiskMirror start(
            QmpClient qmp,
            GuestStop stop,
            RescueMonitor rescue,
            int index,
            String node,
            Path socket,
            String export,
            Listener listener) {
        DiskMirror mirror = new DiskMirror(qmp, rescue, index, listener);
        try {
            mirror.attach(node, socket, export);
            return mirror;
        } catch (HypervisorException e) {
            try {
                remove(List.of(mirror), stop);
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
                        export,
                        // Without it QEMU, guest and monitors included, waits for ever for a
                        // server that accepts and says nothing.
                        "open-timeout",
                        OPEN_LIMIT.toSeconds()));
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
                        // The job, not the guest, stands still then. Reporting would end it while
                        // the guest writes; ignoring would keep it and lose the writes.
                        "on-target-error",
                        "stop",
                        "on-source-error",
                        "stop",
                        "filter-node-name",
                        FILTER + index));
    }

    private void onEvent(QmpEvent event) {
        if (event.name().equals("SHUTDOWN") && !event.data().path("guest").asBoolean()) {
            // QEMU was told to end, and gives up its jobs on the way out: that is its death, and no
            // write of the guest's passes the export by. It carries out no command any more.
            dying = true;
        }
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
        if (closing || dying || failure.isPresent()) {
            return;
        }
        String reason = "QEMU's mirror of disk " + index + " does not go on: " + what;
        failure = Optional.of(reason);
        listener.failed(reason);
    }

    /**
     * Why writes of the guest may have passed the export by; empty while none can have. Exact for
     * all writes of before a command whose reply has come in, {@code stop} above all: QEMU tells of
     * the error before it lets that write be done, in no other order than that on this monitor, and
     * does not thin out events of this kind.
     */
    public Optional<String> failure() {
        return failure;
    }

    /**
     * Gives up an export that hangs: what waits for it goes on, without it, and its mirror has
     * failed. Any thread.
     *
     * @throws HypervisorException if none is attached, or QEMU is gone
     */
    public static void cut(RescueMonitor rescue, int index) {
        rescue.cut(TARGET + index);
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

    /**
     * The block node that stands for a disk while it is mirrored: its size and what it takes are
     * the disk's.
     */
    public static Optional<String> aboveDisk(QmpClient qmp, int index) {
        return Optional.of(FILTER + index).filter(nodes(qmp)::contains);
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
     * Takes mirrors of one QEMU out, while its guest is suspended; the disks are as they were
     * before. Exports that hang are cut off, after {@link QmpClient#COMMAND_LIMIT} at the latest.
     * May be called again where it fails; a QEMU that is gone is no failure.
     *
     * @throws HypervisorException of the first that is still there, with the others suppressed, or
     *     if the guest does not stop or go on
     */
    public static void remove(List<DiskMirror> mirrors, GuestStop stop) {
        if (mirrors.isEmpty()) {
            return;
        }
        mirrors.forEach(mirror -> mirror.closing = true);
        DiskMirror first = mirrors.getFirst();
        try {
            removeSuspended(
                    first.qmp,
                    stop,
                    first.rescue,
                    mirrors.stream().map(mirror -> mirror.index).toList());
        } catch (HypervisorException e) {
            if (first.qmp.closedBecause().isEmpty()) {
                throw e;
            }
        }
        mirrors.forEach(mirror -> mirror.events.close());
    }

    private static void removeSuspended(
            QmpClient qmp, GuestStop stop, RescueMonitor rescue, List<Integer> indices) {
        List<HypervisorException> troubles = new ArrayList<>();
        try {
            suspend(qmp, stop, rescue, indices);
            indices.forEach(index -> attempt(() -> remove(qmp, rescue, index), troubles));
        } catch (HypervisorException e) {
            troubles.add(e);
        }
        attempt(stop::end, troubles);
        if (!troubles.isEmpty()) {
            HypervisorException first = troubles.getFirst();
            troubles.stream().skip(1).forEach(first::addSuppressed);
            throw first;
        }
    }

    /** A QEMU that waits for a write to an export that hangs does not answer until it is cut. */
    private static void suspend(
            QmpClient qmp, GuestStop stop, RescueMonitor rescue, List<Integer> indices) {
        try {
            stop.begin();
        } catch (HypervisorException e) {
            if (qmp.closedBecause().isPresent()) {
                throw e;
            }
            List<HypervisorException> troubles = new ArrayList<>(List.of(e));
            indices.forEach(index -> attempt(() -> rescue.cut(TARGET + index), troubles));
            try {
                stop.begin();
            } catch (HypervisorException again) {
                troubles.forEach(again::addSuppressed);
                throw again;
            }
        }
    }

    private static void attempt(Runnable step, List<HypervisorException> troubles) {
        try {
            step.run();
        } catch (HypervisorException e) {
            troubles.add(e);
        }
    }

    /** The guest is suspended. */
    private static void remove(QmpClient qmp, RescueMonitor rescue, int index) {
        endJob(qmp, rescue, index);
        removeTarget(qmp, TARGET + index);
    }

    /**
     * Ends the job and leaves the rest to {@link #remove}: for the moments in which a guest that
     * stands still is waited for. Only while it does; what it wrote before has reached the export.
     */
    public void end() {
        closing = true;
        endJob(qmp, rescue, index);
    }

    private static void endJob(QmpClient qmp, RescueMonitor rescue, int index) {
        String job = JOB + index;
        String target = TARGET + index;
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
                if (qmp.closedBecause().isPresent()) {
                    throw e;
                }
                rescue.cut(target);
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
     * Removes what a killed daemon left in a QEMU; the guest stands still meanwhile. Only while no
     * mirror of ours is in force there, and nobody else suspends the guest or lets it run.
     *
     * @param outOfBand the monitor for a QEMU that hangs; free for a client
     * @return number of mirrors removed
     */
    public static int removeLeftovers(QmpClient qmp, Path outOfBand) {
        List<Integer> left =
                nodes(qmp).stream()
                        .filter(node -> node.startsWith(TARGET))
                        .map(node -> Integer.valueOf(node.substring(TARGET.length())))
                        .toList();
        if (!left.isEmpty()) {
            boolean runs = qmp.execute("query-status").path("running").asBoolean();
            try (RescueMonitor rescue = RescueMonitor.open(qmp, outOfBand)) {
                removeSuspended(
                        qmp, runs ? GuestStop.alone(qmp) : GuestStop.standing(), rescue, left);
            }
        }
        return left.size();
    }
}
