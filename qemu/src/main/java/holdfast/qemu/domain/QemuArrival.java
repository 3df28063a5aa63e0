package holdfast.qemu.domain;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.linux.PauseThreads;
import holdfast.qemu.memory.MappedMemory;
import holdfast.qemu.qmp.QemuVersion;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpCommand;
import holdfast.qemu.state.IncomingLoader;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * A QEMU that waits for a migration: started stopped, its main memory written from here, its state
 * loaded once. It holds its taps open but sends nothing until it runs, and its images are not
 * locked before its state is loaded. One thread at a time.
 */
public final class QemuArrival implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(QemuArrival.class);

    private static final Duration COMMAND_LIMIT = Duration.ofSeconds(5);
    private static final Duration LOAD_LIMIT = Duration.ofSeconds(20);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);

    /**
     * Since this version a QEMU that was started with {@code -S} takes its images only at {@code
     * cont}, unless it is told to before.
     */
    private static final QemuVersion LEAVES_IMAGES_TO_CONT = new QemuVersion(10, 0, 0);

    /** Run states of a guest that has not run here yet. */
    private static final Set<String> BEFORE_RUNNING = Set.of("paused", "prelaunch", "inmigrate");

    private final QemuProcess process;
    private final QmpClient qmp;
    private final IncomingLoader loader;
    private final QemuDomain domain;
    private Optional<PauseThreads.Held> pause = Optional.empty();
    private Optional<QmpClient.Issued> announcement = Optional.empty();
    private boolean handedOver;

    private QemuArrival(
            QemuProcess process, QmpClient qmp, IncomingLoader loader, QemuDomain domain) {
        this.process = process;
        this.qmp = qmp;
        this.loader = loader;
        this.domain = domain;
    }

    /**
     * Starts a QEMU.
     *
     * @param spec the source's, with this host's taps, which must exist
     * @param files its RAM file is {@code memory}'s
     * @param memory zero-filled when it was made; the mapping is owned from here on, not the file
     * @param stateDirectory for device state and sockets, in a memory file system; made if absent
     */
    public static QemuArrival start(
            DomainSpec spec,
            QemuFiles files,
            MappedMemory memory,
            Accelerator accelerator,
            Path stateDirectory,
            Duration limit) {
        QemuProcess process = null;
        QmpClient qmp = null;
        IncomingLoader loader = null;
        try {
            Files.createDirectories(stateDirectory);
            process =
                    QemuProcess.start(
                            spec, files, accelerator, QemuCommandLine.Start.INCOMING, limit);
            qmp = QmpClient.connect(files.qmp(), COMMAND_LIMIT);
            QmpClient asked = qmp;
            spec.foreign().ifPresent(line -> line.requireEqualDevices(RunningQemu.devices(asked)));
            QemuDomain domain =
                    QemuDomain.adopt(qmp, process.identity(), stateDirectory, Optional.of(memory));
            loader = IncomingLoader.open(qmp, stateDirectory.resolve("incoming.sock"));
            return new QemuArrival(process, qmp, loader, domain);
        } catch (IOException | RuntimeException e) {
            RuntimeException reason =
                    e instanceof RuntimeException known
                            ? known
                            : new HypervisorException(
                                    "start QEMU", "cannot make " + stateDirectory, e);
            QemuProcess started = process;
            QmpClient connected = qmp;
            IncomingLoader opened = loader;
            attempt(reason, () -> opened.discard(), opened != null);
            attempt(reason, () -> connected.close(), connected != null);
            attempt(reason, () -> started.kill(KILL_LIMIT), started != null);
            throw reason;
        }
    }

    private static void attempt(RuntimeException reason, Runnable step, boolean needed) {
        if (needed) {
            try {
                step.run();
            } catch (RuntimeException e) {
                reason.addSuppressed(e);
            }
        }
    }

    /** The waiting QEMU. */
    public QemuProcess process() {
        return process;
    }

    /** The waiting QEMU's monitor. */
    public QmpClient qmp() {
        return qmp;
    }

    /** What was found out about it; the domain that it becomes. */
    public QemuDomain domain() {
        return domain;
    }

    /** Gives QEMU what it can take before the guest is suspended elsewhere. */
    public void offerBase(MemorySegment base) {
        loader.offer(base);
    }

    /**
     * Gives QEMU more of the device sections; main memory must be complete. No image is opened
     * before {@link #load}.
     *
     * @throws HypervisorException if it does not take them; it is of no use then
     */
    public void offerSections(MemorySegment base, MemorySegment part) {
        if (pause.isEmpty()) {
            // The guest stands still from before the first of them.
            pause = Optional.of(domain.first());
        }
        try {
            loader.offerSections(base, part);
        } catch (HypervisorException e) {
            throw explained(e);
        }
    }

    /**
     * Has QEMU load the device sections, which are whole. Images are opened for writing, and
     * locked, by this.
     *
     * @return bytes of the sections
     * @throws HypervisorException with QEMU's words; it is of no use then
     */
    public long load() {
        long bytes;
        try {
            bytes = loader.load(LOAD_LIMIT);
        } catch (HypervisorException e) {
            throw explained(e);
        }
        if (qmp.greeting().version().compareTo(LEAVES_IMAGES_TO_CONT) >= 0) {
            qmp.execute("blockdev-set-active", Map.of("active", true));
        }
        qmp.prime(QmpCommand.CONTINUE);
        return bytes;
    }

    private HypervisorException explained(HypervisorException said) {
        if (qmp.closedBecause().isEmpty()) {
            return said;
        }
        // It has said why on its standard error, which a daemonized QEMU has closed.
        return new HypervisorException(
                "load the device state",
                "QEMU ended itself over it ("
                        + said.getMessage()
                        + "), as one does that lacks a device of the source's or has it in"
                        + " another version; compare the QEMU versions of both nodes and the"
                        + " domain's arguments",
                said);
    }

    /** What {@link #run} came to. */
    public enum Run {
        RUNS,
        /** It does not, and did not for a moment; the process is ended. */
        NEVER_RAN,
        /** It may have run; the process is ended. */
        MAY_HAVE_RUN
    }

    /** Lets the guest run. Returns with it running, or with its process ended: never in between. */
    public Run run(List<String> problems) {
        try {
            qmp.execute(QmpCommand.CONTINUE.name());
            return runs();
        } catch (HypervisorException e) {
            problems.add(e.getMessage());
            String status = statusAfter();
            if (status.equals("running")) {
                return runs();
            }
            try {
                process.kill(KILL_LIMIT);
            } catch (HypervisorException alsoFailed) {
                problems.add(alsoFailed.getMessage());
                return Run.MAY_HAVE_RUN;
            }
            return BEFORE_RUNNING.contains(status) ? Run.NEVER_RAN : Run.MAY_HAVE_RUN;
        }
    }

    private Run runs() {
        handedOver = true;
        try {
            // Its network's pause lasts until this.
            announcement = Optional.of(domain.beginAnnouncing());
        } catch (HypervisorException e) {
            log.warn("arrival={} not announced, the guest runs on", process.pid(), e);
        }
        return Run.RUNS;
    }

    /** Commands are answered in order: this answer tells what the one before came to. */
    private String statusAfter() {
        try {
            return domain.status();
        } catch (HypervisorException e) {
            return "gone";
        }
    }

    /** After the guest runs: sees that it was announced, and frees what the arrival took. */
    public void settle() {
        pause.ifPresent(PauseThreads.Held::close);
        try {
            announcement.ifPresent(issued -> issued.result(COMMAND_LIMIT));
            loader.close();
        } catch (RuntimeException e) {
            log.warn("arrival={} not settled, the guest runs on", process.pid(), e);
        }
    }

    /**
     * The CPU's features as its guest sees them, by register: a guest that was started with other
     * ones may use what is not there.
     */
    public static TreeMap<String, Long> cpuFeatures(QmpClient qmp) {
        TreeMap<String, Long> words = new TreeMap<>();
        String cpu = qmp.execute("query-cpus-fast").path(0).path("qom-path").asText();
        qmp.execute("qom-get", Map.of("path", cpu, "property", "feature-words"))
                .forEach(
                        word ->
                                words.put(
                                        "cpuid."
                                                + Long.toHexString(
                                                        word.path("cpuid-input-eax").asLong())
                                                + "."
                                                + word.path("cpuid-input-ecx").asLong(0)
                                                + "."
                                                + word.path("cpuid-register").asText(),
                                        word.path("features").asLong()));
        return words;
    }

    /** Ends a QEMU that did not become the domain. The RAM file is left to who made it. */
    @Override
    public void close() {
        if (handedOver) {
            return;
        }
        pause.ifPresent(PauseThreads.Held::close);
        HypervisorException reason =
                new HypervisorException("close arrival", "not everything could be given back");
        attempt(reason, () -> process.kill(KILL_LIMIT), true);
        attempt(reason, loader::discard, true);
        attempt(reason, domain::close, true);
        if (reason.getSuppressed().length > 0) {
            throw reason;
        }
    }
}
