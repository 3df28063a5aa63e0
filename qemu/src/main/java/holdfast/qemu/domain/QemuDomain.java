package holdfast.qemu.domain;

import holdfast.engine.GuestShutDownException;
import holdfast.engine.HypervisorException;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.Domain;
import holdfast.engine.port.StateSave;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.ForeignCommandLine;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.launch.ReachableFiles;
import holdfast.qemu.launch.StandbyCommandLine;
import holdfast.qemu.linux.PauseThreads;
import holdfast.qemu.memory.MappedMemory;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpCommand;
import holdfast.qemu.qmp.QmpEvent;
import holdfast.qemu.state.StateSaver;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * A running QEMU. One thread drives it; {@link #qmp()} may be shared. Closing it leaves QEMU
 * running and its monitor free.
 */
public final class QemuDomain implements Domain, AutoCloseable {
    /** Milliseconds. */
    private static final Map<String, Integer> ANNOUNCEMENTS =
            Map.of("initial", 10, "max", 100, "rounds", 5, "step", 20);

    private static final Duration CONNECT_LIMIT = Duration.ofSeconds(5);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);
    private static final String RUNNING = "running";
    private static final String LET_GO_ON =
            "somebody else let the guest go on in the middle of it, through another monitor of its"
                    + " QEMU";
    private static final String NO_COPY =
            "the copy that waits has not the same devices any more, and cannot load it: ";

    private final QmpClient qmp;
    private final RunningQemu found;
    private final StateSaver saver;
    private final PluggedDevices plugged;
    private final QmpClient.Subscription events;
    private final Set<Integer> emulator;
    private Optional<PauseThreads.Held> pause = Optional.empty();
    private Optional<MappedMemory> memory;
    private boolean suspended;

    /** Since QEMU answered our latest stop. Written on the monitor's thread. */
    private volatile boolean wentOn;

    /**
     * Whether the guest went on in the latest pause before we were ready to let it. Written on the
     * monitor's thread.
     */
    private volatile boolean disturbed;

    /** QEMU's word for why the guest ended itself, once it has. */
    private volatile Optional<String> shutDown = Optional.empty();

    private QemuDomain(
            QmpClient qmp, RunningQemu found, StateSaver saver, Optional<MappedMemory> memory) {
        this.qmp = qmp;
        this.found = found;
        this.saver = saver;
        this.plugged = new PluggedDevices(qmp);
        this.emulator = emulator(qmp, found.process());
        this.memory = memory;
        this.events = qmp.subscribe(this::onEvent);
    }

    /** On the monitor's thread, before it tells anybody that QEMU is gone. */
    private void onEvent(QmpEvent event) {
        if (event.name().equals("SHUTDOWN") && event.data().path("guest").asBoolean()) {
            shutDown = Optional.of(event.data().path("reason").asText());
        }
        // A STOP undoes nothing: the guest has run.
        if (event.name().equals("RESUME")) {
            wentOn = true;
        }
    }

    /**
     * Takes charge of a QEMU that runs already, whoever started it. Its guest stands still for some
     * milliseconds, in which its state is saved once to see that it can be.
     *
     * @param monitor a QMP socket of its own, which nobody else is connected to
     * @param stateDirectory for saved state, best in a memory file system; made if absent
     * @throws HypervisorException if it cannot be protected, with the options to start it with
     */
    public static QemuDomain attach(Path monitor, Path stateDirectory) {
        return attach(monitor, stateDirectory, _ -> {});
    }

    /**
     * As {@link #attach(Path, Path)}.
     *
     * @param requirement what else it must be, looked at before its guest is touched
     */
    public static QemuDomain attach(
            Path monitor, Path stateDirectory, Consumer<QemuDomain> requirement) {
        return prepared(
                attachSuspended(monitor, stateDirectory),
                domain -> {
                    requirement.accept(domain);
                    domain.saveOnce();
                });
    }

    /**
     * As {@link #attach(Path, Path)}, for one that was attached before. QEMU gives all of its state
     * once, until its guest runs again: one that stands still since then is taken over without.
     */
    public static QemuDomain attachAgain(Path monitor, Path stateDirectory) {
        return prepared(
                attachSuspended(monitor, stateDirectory),
                domain -> {
                    if (!domain.status().equals(StateSaver.GIVEN)) {
                        domain.saveOnce();
                    }
                });
    }

    private static QemuDomain prepared(QemuDomain domain, Consumer<QemuDomain> step) {
        try {
            step.accept(domain);
            return domain;
        } catch (RuntimeException e) {
            try {
                domain.close();
            } catch (RuntimeException alsoFailed) {
                e.addSuppressed(alsoFailed);
            }
            throw e;
        }
    }

    /**
     * As {@link #attach(Path, Path)}, for one that stands still, and may have let go of its images
     * for a hand-over: QEMU aborts if its state is saved once more before it has run. So nothing is
     * saved.
     */
    public static QemuDomain attachSuspended(Path monitor, Path stateDirectory) {
        QmpClient qmp = QmpClient.connect(monitor, CONNECT_LIMIT);
        try {
            return adopt(qmp, OpenFiles.listenerOf(monitor), stateDirectory, Optional.empty());
        } catch (RuntimeException e) {
            qmp.close();
            throw e;
        }
    }

    /** As {@link #attach(Path, Path)}, for a process that was started here. */
    public static QemuDomain attach(QemuProcess process, Path stateDirectory) {
        return attach(process.files().qmp(), stateDirectory);
    }

    /** Takes over a connection and, if there is one, a mapping. */
    static QemuDomain adopt(
            QmpClient qmp,
            ProcessIdentity process,
            Path stateDirectory,
            Optional<MappedMemory> memory) {
        RunningQemu found = RunningQemu.inspect(qmp, process);
        PauseThreads.calm(process.pid());
        ReachableFiles.makeDirectory(stateDirectory, process);
        return new QemuDomain(
                qmp, found, StateSaver.open(qmp, stateDirectory, found.ramBackend()), memory);
    }

    private void saveOnce() {
        boolean wasRunning = status().equals(RUNNING);
        suspend();
        try {
            saver.save();
        } finally {
            if (wasRunning && qmp.closedBecause().isEmpty()) {
                resume();
            }
        }
    }

    @Override
    public String name() {
        return found.name();
    }

    @Override
    public void suspend() {
        stopBeforeSaving(StateSaver.Images.KEPT);
    }

    @Override
    public void suspendForHandOver() {
        stopBeforeSaving(StateSaver.Images.RELEASED);
    }

    /**
     * QEMU's threads but for those that run the guest: these have work for whole processors, and
     * while it runs nobody could tell them to stop.
     */
    private static Set<Integer> emulator(QmpClient qmp, ProcessIdentity process) {
        Set<Integer> threads = PauseThreads.of(process.pid());
        qmp.execute("query-cpus-fast")
                .forEach(processor -> threads.remove(processor.path("thread-id").asInt()));
        return threads;
    }

    /** Lets the calling thread, who hears QEMU's answers and QEMU run before all others. */
    PauseThreads.Held first() {
        PauseThreads.Held own = PauseThreads.first(List.of(Thread.currentThread(), qmp.reader()));
        PauseThreads.Held qemus = PauseThreads.first(found.process().pid(), emulator);
        return () -> {
            qemus.close();
            own.close();
        };
    }

    private void stopBeforeSaving(StateSaver.Images images) {
        pause = Optional.of(first());
        qmp.executeBefore(
                saver.command(images),
                QmpCommand.STOP,
                QmpClient.COMMAND_LIMIT,
                () -> {
                    wentOn = false;
                    disturbed = false;
                });
        suspended = true;
    }

    @Override
    public void resume() {
        try {
            if (suspended) {
                askWhetherItStoodStill();
            }
            qmp.executeBefore(QmpCommand.STOP, QmpCommand.CONTINUE, QmpClient.COMMAND_LIMIT);
        } catch (HypervisorException e) {
            Optional<String> reason = shutDown;
            if (reason.isPresent()) {
                throw new GuestShutDownException("cont", reason.get(), e);
            }
            throw e;
        } finally {
            pause.ifPresent(PauseThreads.Held::close);
        }
        suspended = false;
    }

    /**
     * Events and answers of a monitor come in the order of what happened. Our {@code cont} alone
     * does not tell whose RESUME came before its answer: of a guest that runs already it makes none
     * ({@code vm_prepare_start} of softmmu/cpus.c, 7.2). So another command is answered before it,
     * and {@code cont} waits for nothing but that QEMU reads it.
     */
    private void askWhetherItStoodStill() {
        qmp.issueBefore(QmpCommand.CONTINUE, QmpCommand.QUERY_STATUS, () -> disturbed = wentOn);
    }

    @Override
    public Optional<String> disturbance() {
        try {
            boolean worthless = disturbed;
            if (suspended) {
                // What QEMU has to tell comes before its answer.
                status();
                worthless = wentOn;
            }
            return worthless ? Optional.of(LET_GO_ON) : plugged.change().map(NO_COPY::concat);
        } catch (HypervisorException e) {
            // Of a death others tell.
            return qmp.closedBecause().isPresent() ? Optional.empty() : Optional.of(e.getMessage());
        }
    }

    @Override
    public void destroy() {
        found.process().kill(KILL_LIMIT);
    }

    @Override
    public DeviceState saveDeviceState() {
        return saver.save();
    }

    @Override
    public StateSave beginHandOver() {
        return saver.beginHandOver();
    }

    /** To be called after plugging a device: QEMU tells nobody. */
    public void deviceSetChanged() {
        saver.deviceSetChanged();
    }

    /** Lets switches learn where the guest's NICs are, within a quarter of a second. Any thread. */
    public void announce() {
        beginAnnouncing().result(QmpClient.COMMAND_LIMIT);
    }

    /**
     * As {@link #announce}, without waiting: QEMU's main loop has much to do when a guest starts.
     */
    QmpClient.Issued beginAnnouncing() {
        return qmp.issue(new QmpCommand("announce-self", ANNOUNCEMENTS));
    }

    /** QEMU's run state, such as {@code running}, {@code paused} or {@code shutdown}. */
    public String status() {
        return qmp.execute("query-status").path("status").asText();
    }

    /** Presses the guest's reset button. */
    public void reset() {
        qmp.execute("system_reset");
    }

    /** What was found out about this QEMU. */
    public RunningQemu qemu() {
        return found;
    }

    /** Its NICs, in QEMU's order. */
    public List<GuestNic> nics() {
        return found.nics();
    }

    /**
     * How a QEMU that somebody else started can be started a second time.
     *
     * @throws HypervisorException naming the argument that prevents it
     */
    public ForeignCommandLine commandLine() {
        ForeignCommandLine line = ForeignCommandLine.of(found.process(), found.ramId(), devices());
        StandbyCommandLine.images(line);
        return line;
    }

    /** What the machine consists of now: each device's type and id. */
    public List<String> devices() {
        return RunningQemu.devices(qmp);
    }

    /** What executes its guest. */
    public Accelerator accelerator() {
        return qmp.execute("query-kvm").path("enabled").asBoolean()
                ? Accelerator.KVM
                : Accelerator.TCG;
    }

    /** The monitor, for filters and block jobs. */
    public QmpClient qmp() {
        return qmp;
    }

    /** Main memory, mapped at the first call; lives until this domain is closed. */
    public MappedMemory memory() {
        if (memory.isEmpty()) {
            memory = Optional.of(MappedMemory.openReserved(found.ramFile(), found.ramBytes()));
        }
        return memory.get();
    }

    /** Runs {@code action} as soon as QEMU is gone, on the monitor's thread; it must not block. */
    public void onDeath(Runnable action) {
        qmp.onClosed(action);
    }

    /** Frees what saving state took; for a domain that never came to be. */
    void endSaving() {
        saver.close();
    }

    /** Lets go of QEMU, which runs on if it does. */
    @Override
    public void close() {
        try (qmp;
                saver;
                events) {
            memory.ifPresent(MappedMemory::close);
        }
    }
}
