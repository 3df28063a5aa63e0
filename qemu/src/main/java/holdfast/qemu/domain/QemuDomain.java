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
