package holdfast.qemu.state;

import holdfast.engine.HypervisorException;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpEvent;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * Loads device state into a QEMU whose main memory was written from outside, any number of times.
 * The guest must be stopped and is stopped afterwards; main memory is not touched. One thread.
 */
public final class StateLoader implements AutoCloseable {
    /** Room for video memory and firmware of ordinary machines; the image is sparse. */
    public static final long STATE_BYTES = 256L << 20;

    private static final String NODE = "hf-state";
    private static final String COMMAND = "snapshot-load";

    private final QmpClient qmp;
    private final VmStateImage image;
    private long loads;

    private StateLoader(QmpClient qmp, VmStateImage image) {
        this.qmp = qmp;
        this.image = image;
    }

    /**
     * Makes QEMU ready.
     *
     * @param imagePath where the state image is made, a file that does not exist
     */
    public static StateLoader open(QmpClient qmp, Path imagePath) {
        VmStateImage image = VmStateImage.create(imagePath, STATE_BYTES);
        try {
            MigrationSettings.ignoreShared(qmp, MigrationSettings.Switch.ON);
            qmp.execute(
                    "blockdev-add",
                    Map.of(
                            "driver",
                            "qcow2",
                            "node-name",
                            NODE,
                            "cache",
                            Map.of("no-flush", true),
                            "file",
                            Map.of("driver", "file", "filename", imagePath.toString())));
            return new StateLoader(qmp, image);
        } catch (RuntimeException e) {
            image.close();
            throw e;
        }
    }

    /**
     * Loads one state.
     *
     * @throws HypervisorException with QEMU's words if it does not take it; the process stays
     *     usable for another load
     */
    public void load(StateSplice splice, Duration limit) {
        image.write(splice);
        String job = "hf-load-" + ++loads;
        try (QmpClient.ExpectedEvent concluded =
                qmp.expect("JOB_STATUS_CHANGE", event -> concluded(event, job))) {
            qmp.execute(
                    COMMAND,
                    Map.of(
                            "job-id",
                            job,
                            "tag",
                            VmStateImage.TAG,
                            "vmstate",
                            NODE,
                            "devices",
                            List.of(NODE)),
                    limit);
            concluded.await(limit);
        }
        String error = null;
        for (var found : qmp.execute("query-jobs")) {
            if (found.path("id").asText().equals(job) && found.has("error")) {
                error = found.get("error").asText();
            }
        }
        qmp.execute("job-dismiss", Map.of("id", job));
        if (error != null) {
            throw new HypervisorException(
                    COMMAND,
                    error
                            + "; the two sides must be started with the same machine, devices and"
                            + " QEMU options");
        }
    }

    private static boolean concluded(QmpEvent event, String job) {
        return event.data().path("id").asText().equals(job)
                && event.data().path("status").asText().equals("concluded");
    }

    /** Takes the image out of QEMU and removes it; the guest may run. */
    @Override
    public void close() {
        try {
            if (qmp.closedBecause().isEmpty()) {
                qmp.execute("blockdev-del", Map.of("node-name", NODE));
                MigrationSettings.ignoreShared(qmp, MigrationSettings.Switch.OFF);
            }
        } finally {
            image.close();
        }
    }

    /** Removes the image without a word to QEMU, which is gone or about to be. */
    public void discard() {
        image.close();
    }
}
