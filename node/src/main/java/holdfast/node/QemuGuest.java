package holdfast.node;

import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.node.link.DiskStream;
import holdfast.node.session.ProtectedGuest;
import holdfast.qemu.domain.GuestNic;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.memory.DirtyTrackers;
import holdfast.qemu.memory.TrackerChoice;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A QEMU domain with what a session needs of it.
 *
 * @param disks what OPEN_SESSION names, in its order
 * @param outOfBand the monitor for a QEMU that hangs
 * @param output whether the domain's output waits for its commit
 * @param mirroring of those disks
 */
record QemuGuest(
        QemuDomain qemu,
        OperatedDomain operated,
        List<MirroredDisks.Source> disks,
        Path outOfBand,
        Path socketDirectory,
        Output output,
        Mirroring mirroring)
        implements ProtectedGuest {
    /** What happens to frames the guest sends. */
    enum Output {
        /** They wait until the epoch that made them is committed. */
        HELD,
        /** They leave at once: a survivor may contradict them. */
        UNHELD
    }

    @Override
    public Domain domain() {
        return operated;
    }

    @Override
    public GuestMemory memory() {
        return qemu.memory();
    }

    @Override
    public Tracking openTracker() {
        TrackerChoice choice =
                DirtyTrackers.open(
                        qemu.qemu().process().pid(), qemu.memory(), operated, Optional.empty());
        return new Tracking(choice.tracker(), choice.kind().label(), choice.refusals());
    }

    @Override
    public Forwarding forwardDisks(DiskStream stream) {
        return new MirroredDisks(
                qemu.qmp(),
                qemu.qemu().process().pid(),
                operated.detaching(),
                outOfBand,
                socketDirectory,
                disks,
                stream,
                mirroring);
    }

    @Override
    public OutputGate holdOutput(Runnable pressure, InboundCopy inbound) {
        return switch (output) {
            case HELD ->
                    MirroredGate.attach(
                            qemu,
                            operated.detaching(),
                            qemu.nics().stream().map(GuestNic::filterEnd).toList(),
                            socketDirectory,
                            pressure,
                            inbound);
            case UNHELD -> OutputGate.open();
        };
    }
}
