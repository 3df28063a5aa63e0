package holdfast.qemu.domain;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.InboundFrames;
import holdfast.engine.port.Standby;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.memory.MappedMemory;
import holdfast.qemu.net.InboundReplay;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.state.StateLoader;
import holdfast.qemu.state.StateSplice;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * A QEMU that was started stopped, with the replica as its main memory. It holds its taps open but
 * sends nothing until it takes over. One thread at a time.
 */
public final class QemuStandby implements Standby {
    private static final Logger log = LoggerFactory.getLogger(QemuStandby.class);

    private static final Duration COMMAND_LIMIT = Duration.ofSeconds(5);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);

    private final QemuProcess process;
    private final MappedMemory replica;
    private final QmpClient qmp;
    private final StateLoader loader;
    private final InboundReplay replay;

    /** The domain this becomes, inspected and ready to be driven. */
    private final QemuDomain survivor;

    private Phase phase = Phase.WAITING;

    /** What became of it. */
    private enum Phase {
        WAITING,
        /** The guest may have run: the state on the other side no longer describes it. */
        STARTED,
        HANDED_OVER,
        CLOSED
    }

    private QemuStandby(
            QemuProcess process,
            MappedMemory replica,
            QmpClient qmp,
            StateLoader loader,
            InboundReplay replay,
            QemuDomain survivor) {
        this.process = process;
        this.replica = replica;
        this.qmp = qmp;
        this.loader = loader;
        this.replay = replay;
        this.survivor = survivor;
    }

    /**
     * Makes the replica and starts a QEMU on it.
     *
     * @param spec the primary's, with this host's taps, which must exist
     * @param files the RAM file must not exist: it becomes the replica
     * @param stateDirectory for device state and sockets, in a memory file system; made if absent
     * @param limit for QEMU's start
     */
    public static QemuStandby start(
            DomainSpec spec,
            QemuFiles files,
            Accelerator accelerator,
            Path stateDirectory,
            Duration limit) {
        try {
            Files.createDirectories(stateDirectory);
        } catch (IOException e) {
            throw new HypervisorException("start standby", "cannot make " + stateDirectory, e);
        }
        MappedMemory replica = MappedMemory.create(files.ram(), spec.memoryBytes());
        QemuProcess process = null;
        QmpClient qmp = null;
        StateLoader loader = null;
        try {
            process =
                    QemuProcess.start(
                            spec, files, accelerator, QemuCommandLine.Start.PAUSED, limit);
            qmp = QmpClient.connect(files.qmp(), COMMAND_LIMIT);
            QmpClient asked = qmp;
            spec.foreign().ifPresent(line -> line.requireEqualDevices(RunningQemu.devices(asked)));
            loader = StateLoader.open(qmp, stateDirectory.resolve("standby.qcow2"));
            // All of it now, so that nothing need be attached, and nothing can be refused, when it
            // matters: once the guest runs there is no way back.
            QemuDomain survivor =
                    QemuDomain.adopt(qmp, process.identity(), stateDirectory, Optional.of(replica));
            InboundReplay replay =
                    InboundReplay.attach(
                            qmp,
                            survivor.nics().stream().map(GuestNic::filterEnd).toList(),
                            stateDirectory);
            return new QemuStandby(process, replica, qmp, loader, replay, survivor);
        } catch (RuntimeException e) {
            discard(e, process, qmp, loader, replica);
            throw e;
        }
    }

    private static void discard(
            RuntimeException reason,
            QemuProcess process,
            QmpClient qmp,
            StateLoader loader,
            MappedMemory replica) {
        // Reverse order; each tried, whatever became of the others.
        try (AutoCloseable _ = replica::close;
                AutoCloseable _ = replica::deleteFile;
                AutoCloseable _ = () -> ifThere(process, p -> p.kill(KILL_LIMIT));
                AutoCloseable _ = () -> ifThere(qmp, QmpClient::close)) {
            ifThere(loader, StateLoader::discard);
        } catch (Exception e) {
            reason.addSuppressed(e);
        }
    }

    private static <T> void ifThere(T thing, Consumer<T> action) {
        if (thing != null) {
            action.accept(thing);
        }
    }

    @Override
    public MappedMemory replica() {
        return replica;
    }

    /** The waiting QEMU's monitor. */
    public QmpClient qmp() {
        return qmp;
    }

    /** The waiting QEMU. */
    public QemuProcess process() {
        return process;
    }

    @Override
    public void rehearse(MemorySegment base, MemorySegment sections) {
        requireWaiting();
        loader.load(new StateSplice(base, sections), COMMAND_LIMIT);
    }

    @Override
    public QemuDomain takeOver(MemorySegment base, MemorySegment sections, InboundFrames inbound) {
        rehearse(base, sections);
        phase = Phase.STARTED;
        letRun();
        // From here on the guest is out: what fails now costs time, and is no reason to lose it.
        if (!inbound.frames().isEmpty()) {
            attempt("replay", () -> replay.replay(inbound, COMMAND_LIMIT));
        }
        attempt("announce", survivor::announce);
        attempt("replay end", replay::detach);
        attempt("state image", loader::close);
        phase = Phase.HANDED_OVER;
        return survivor;
    }

    /** Returns with the guest running, or throws with its QEMU ended: never in between. */
    private void letRun() {
        try {
            qmp.execute("cont");
        } catch (HypervisorException e) {
            // No answer in time is no refusal: the guest may run by now, or a moment later.
            if (saysThatItRuns()) {
                return;
            }
            try {
                process.kill(KILL_LIMIT);
            } catch (HypervisorException alsoFailed) {
                e.addSuppressed(alsoFailed);
            }
            throw e;
        }
    }

    private boolean saysThatItRuns() {
        try {
            return qmp.execute("query-status").path("running").asBoolean();
        } catch (HypervisorException e) {
            log.warn("takeover={} status unknown", process.pid(), e);
            return false;
        }
    }

    /** Even a frame for a NIC that is not there must not cost the guest: it came from the peer. */
    private void attempt(String step, Runnable action) {
        try {
            action.run();
        } catch (RuntimeException e) {
            if (qmp.closedBecause().isPresent()) {
                throw e;
            }
            log.warn("takeover={} step={} failed, the guest runs on", process.pid(), step, e);
        }
    }

    private void requireWaiting() {
        if (phase != Phase.WAITING) {
            throw new IllegalStateException("standby is " + phase + ", expected WAITING");
        }
    }

    @Override
    public void close() {
        if (phase == Phase.HANDED_OVER || phase == Phase.CLOSED) {
            return;
        }
        phase = Phase.CLOSED;
        HypervisorException reason =
                new HypervisorException("close standby", "not everything could be given back");
        process.kill(KILL_LIMIT);
        for (Runnable step : List.<Runnable>of(replay::close, survivor::endSaving)) {
            try {
                step.run();
            } catch (RuntimeException e) {
                reason.addSuppressed(e);
            }
        }
        discard(reason, process, qmp, loader, replica);
        if (reason.getSuppressed().length > 0) {
            throw reason;
        }
    }
}
