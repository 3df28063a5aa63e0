package holdfast.qemu.launch;

import holdfast.qemu.launch.DomainSpec.Access;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Display;
import holdfast.qemu.launch.DomainSpec.Forward;
import holdfast.qemu.launch.DomainSpec.Nic;
import holdfast.qemu.launch.DomainSpec.RandomDevice;
import holdfast.qemu.launch.DomainSpec.TapNic;
import holdfast.qemu.launch.DomainSpec.UserNic;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;

/** QEMU's arguments for a domain that can be protected and moved. */
public final class QemuCommandLine {
    /** The id of the memory backend that is main memory. */
    public static final String RAM_ID = "ram";

    /** How the guest begins. */
    public enum Start {
        /** At once. */
        RUNNING,
        /** Not before somebody says {@code cont}. */
        PAUSED,
        /**
         * As {@link #PAUSED}, and not before a state was loaded: images are not locked till then.
         */
        INCOMING
    }

    private final List<String> arguments = new ArrayList<>();

    private QemuCommandLine() {}

    /**
     * The arguments, without the binary.
     *
     * @param accelerator KVM or TCG, whatever the specification wishes
     */
    public static List<String> of(
            DomainSpec spec, QemuFiles files, Accelerator accelerator, Start start) {
        if (spec.foreign().isPresent()) {
            return StandbyCommandLine.of(
                    spec.foreign().get(), spec.disks(), files, accelerator, start);
        }
        QemuCommandLine line = new QemuCommandLine();
        line.machine(spec, files, accelerator);
        line.arguments.addAll(monitors(files));
        line.devices(spec);
        line.arguments.addAll(process(files, start));
        line.arguments.addAll(spec.extra());
        return List.copyOf(line.arguments);
    }

    /** How the process runs. */
    static List<String> process(QemuFiles files, Start start) {
        List<String> words = new ArrayList<>();
        switch (start) {
            case RUNNING -> {}
            case PAUSED -> words.add("-S");
            case INCOMING -> words.addAll(List.of("-S", "-incoming", "defer"));
        }
        words.addAll(List.of("-daemonize", "-pidfile", files.pid().toString()));
        return words;
    }

    private void machine(DomainSpec spec, QemuFiles files, Accelerator accelerator) {
        add("-nodefaults", "-no-user-config", "-display", "none");
        add("-name", "guest=" + spec.name());
        add("-uuid", spec.uuid().toString());
        // suppress-vmdesc: without it QEMU 10 crashes on saving device state while stopped.
        add("-machine", spec.machine() + ",suppress-vmdesc=on,memory-backend=" + RAM_ID);
        add("-accel", accelerator.qemuName());
        add("-m", spec.memoryMiB() + "M");
        add("-smp", Integer.toString(spec.vcpus()));
        add(
                "-object",
                "memory-backend-file,id=%s,size=%dM,mem-path=%s,share=on"
                        .formatted(RAM_ID, spec.memoryMiB(), value(files.ram())));
        // A loader that was not started with -incoming expects no configuration section.
        add("-global", "migration.send-configuration=off");
        spec.firmware().ifPresent(path -> add("-bios", path.toString()));
        spec.boot()
                .ifPresent(
                        boot -> {
                            add("-kernel", boot.kernel().toString());
                            boot.initrd().ifPresent(path -> add("-initrd", path.toString()));
                            if (!boot.commandLine().isEmpty()) {
                                add("-append", boot.commandLine());
                            }
                        });
    }

    /** Where it listens for commands. */
    static List<String> monitors(QemuFiles files) {
        List<String> words = new ArrayList<>();
        for (Path socket : List.of(files.qmp(), files.qmpOutOfBand())) {
            words.addAll(List.of("-qmp", "unix:" + value(socket) + ",server=on,wait=off"));
        }
        return words;
    }

    private void devices(DomainSpec spec) {
        spec.serial().ifPresent(path -> add("-serial", "file:" + path));
        if (spec.display() == Display.STD) {
            add("-device", "VGA");
        }
        if (spec.random() == RandomDevice.PRESENT) {
            add("-device", "virtio-rng-pci");
        }
        for (int i = 0; i < spec.disks().size(); i++) {
            disk(i, spec.disks().get(i));
        }
        for (int i = 0; i < spec.nics().size(); i++) {
            nic(i, spec.nics().get(i));
        }
    }

    /** The names are stable: what is attached to a disk at run time finds it by them. */
    private void disk(int index, Disk disk) {
        String readOnly = disk.access() == Access.READ_ONLY ? ",read-only=on" : "";
        // locking: two QEMUs never write one image, whoever started them.
        add(
                "-blockdev",
                "driver=%s,node-name=hf-disk%d-file,filename=%s,locking=on%s"
                        .formatted(
                                DiskImage.isBlockDevice(disk.path()) ? "host_device" : "file",
                                index,
                                value(disk.path()),
                                readOnly));
        OptionalLong limit = DiskImage.limitBytes(disk);
        add(
                "-blockdev",
                "driver=%s,node-name=%s,file=hf-disk%d-file%s%s"
                        .formatted(
                                driver(disk),
                                diskNode(index),
                                index,
                                limit.isPresent() ? ",size=" + limit.getAsLong() : "",
                                readOnly));
        add("-device", "virtio-blk-pci,drive=%s,id=hf-vblk%d".formatted(diskNode(index), index));
    }

    /** The block node that the guest's disk {@code index} reads and writes. */
    public static String diskNode(int index) {
        return "hf-disk" + index;
    }

    private static String driver(Disk disk) {
        return switch (disk.format()) {
            case RAW -> "raw";
            case QCOW2 -> "qcow2";
            case AUTO ->
                    throw new IllegalArgumentException(
                            disk.path() + ": its format was not found out");
        };
    }

    private void nic(int index, Nic nic) {
        switch (nic) {
            // vhost=off: frames must pass QEMU, where a filter can hold them.
            case TapNic tap ->
                    add(
                            "-netdev",
                            "tap,id=net%d,ifname=%s,script=no,downscript=no,vhost=off"
                                    .formatted(index, tap.tap()));
            case UserNic user -> {
                StringBuilder netdev = new StringBuilder("user,id=net" + index);
                for (Forward forward : user.forwards()) {
                    netdev.append(",hostfwd=tcp:127.0.0.1:")
                            .append(forward.hostPort())
                            .append("-:")
                            .append(forward.guestPort());
                }
                add("-netdev", netdev.toString());
            }
        }
        add(
                "-device",
                "virtio-net-pci,netdev=net%d,id=nic%d,mac=%s,romfile="
                        .formatted(index, index, nic.mac()));
    }

    /** QEMU ends an option's value at a comma unless it is doubled. */
    private static String value(Path path) {
        return path.toString().replace(",", ",,");
    }

    private void add(String... words) {
        arguments.addAll(List.of(words));
    }
}
