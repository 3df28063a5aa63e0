package holdfast.qemu.launch;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;

/**
 * The machine a guest sees. Two copies of a domain are started from specifications that differ in
 * nothing but the host's ends: taps and paths.
 *
 * @param name 1 to 63 letters, digits, {@code . _ -}, first a letter or digit
 * @param memoryMiB main memory, 1 to 4194304
 * @param vcpus 1 to 255
 * @param machine QEMU's machine type, {@code q35} or better a versioned one such as {@code
 *     pc-q35-7.2} where the domain may move between QEMU versions
 * @param firmware a file for {@code -bios} in place of QEMU's default
 * @param boot a kernel that QEMU loads itself
 * @param random whether the guest has a virtio random number generator
 * @param serial the file that receives the first serial port's output
 * @param extra further arguments, passed as they are, after all others
 * @param foreign how somebody else started it: then this alone says what a copy is started from,
 *     with {@code disks}, in its order, in place of those that the guest may write. Of the rest
 *     name, UUID, memory, vCPUs, accelerator and NICs describe it
 * @param remusBackup the node that is to protect it from its creation on, as a person wrote it
 */
public record DomainSpec(
        String name,
        UUID uuid,
        int memoryMiB,
        int vcpus,
        String machine,
        Accelerator accelerator,
        Optional<Path> firmware,
        Optional<Kernel> boot,
        List<Disk> disks,
        List<Nic> nics,
        RandomDevice random,
        Display display,
        Optional<Path> serial,
        List<String> extra,
        Optional<ForeignCommandLine> foreign,
        Optional<String> remusBackup) {

    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}");
    private static final Pattern MACHINE = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");
    private static final Pattern MAC = Pattern.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}");
    private static final Pattern INTERFACE = Pattern.compile("[^\\s/,:]{1,15}");

    /** Whether there is a virtio random number generator. */
    public enum RandomDevice {
        PRESENT,
        ABSENT
    }

    /** The screen. */
    public enum Display {
        /** No graphics adapter. */
        NONE,
        /** A standard VGA; nobody is connected to it, but screenshots can be taken. */
        STD
    }

    /** A disk image's format. */
    public enum Format {
        /** What the image says of itself, found out before QEMU starts. */
        AUTO,
        RAW,
        QCOW2
    }

    /** What the guest may do to a disk. */
    public enum Access {
        READ_WRITE,
        READ_ONLY
    }

    /**
     * A kernel QEMU loads itself.
     *
     * @param commandLine may be empty
     */
    public record Kernel(Path kernel, Optional<Path> initrd, String commandLine) {
        public Kernel {
            absolute("kernel", kernel);
            initrd.ifPresent(path -> absolute("initrd", path));
            Objects.requireNonNull(commandLine);
        }
    }

    /**
     * A virtio disk; its block node is {@code hf-diskN} and its device {@code hf-vblkN}, counted
     * from 0. With a foreign command line, whatever that makes of it.
     *
     * @param virtualBytes what the guest sees, a multiple of {@value DiskImage#SECTOR_BYTES}; empty
     *     until the image was looked at
     * @param namedReplica where another node keeps its copy, if somebody said so
     * @param peer who receives the copy, {@code HOST:PORT}, if somebody said so
     */
    public record Disk(
            Path path,
            Format format,
            Access access,
            OptionalLong virtualBytes,
            Optional<Path> namedReplica,
            Optional<String> peer) {
        public Disk {
            absolute("path", path);
            Objects.requireNonNull(format);
            Objects.requireNonNull(access);
            Objects.requireNonNull(virtualBytes);
            namedReplica.ifPresent(replica -> absolute("replica", replica));
            Objects.requireNonNull(peer);
        }

        /** A disk of which nothing else is known. */
        public Disk(Path path, Format format, Access access) {
            this(path, format, access, OptionalLong.empty(), Optional.empty(), Optional.empty());
        }

        /**
         * Where another node keeps its copy, which is always raw: where somebody said, else at the
         * same path, or beside it where the image here is not raw.
         */
        public Path replica() {
            return namedReplica.orElseGet(
                    () ->
                            format == Format.QCOW2
                                    ? path.resolveSibling(path.getFileName() + ".raw")
                                    : path);
        }

        /** This disk as its image turned out to be. */
        Disk as(Format found, long bytes) {
            return new Disk(path, found, access, OptionalLong.of(bytes), namedReplica, peer);
        }
    }

    /** A virtio NIC; its netdev is {@code netN} and its device {@code nicN}, counted from 0. */
    public sealed interface Nic {
        /** Lower case, colons, unicast. */
        String mac();
    }

    /**
     * Connected to a tap of the host.
     *
     * @param tap interface name, at most 15 characters
     * @param bridge what {@link Taps} connects the tap to
     */
    public record TapNic(String mac, String tap, Optional<String> bridge) implements Nic {
        public TapNic {
            requireMac(mac);
            requireInterface("tap", tap);
            bridge.ifPresent(name -> requireInterface("bridge", name));
        }
    }

    /** Connected to QEMU's own user-mode network. */
    public record UserNic(String mac, List<Forward> forwards) implements Nic {
        public UserNic {
            requireMac(mac);
            forwards = List.copyOf(forwards);
        }
    }

    /** A TCP port of the host's loopback that leads to a port of the guest. */
    public record Forward(int hostPort, int guestPort) {
        public Forward {
            requireRange("hostPort", hostPort, 1, 65535);
            requireRange("guestPort", guestPort, 1, 65535);
        }
    }

    public DomainSpec {
        if (!NAME.matcher(name).matches()) {
            throw new IllegalArgumentException(
                    "name: found '" + name + "', expected 1 to 63 letters, digits and . _ -");
        }
        Objects.requireNonNull(uuid);
        requireRange("memoryMiB", memoryMiB, 1, 4 << 20);
        requireRange("vcpus", vcpus, 1, 255);
        if (!MACHINE.matcher(machine).matches()) {
            throw new IllegalArgumentException(
                    "machine: found '" + machine + "', expected a machine type without options");
        }
        Objects.requireNonNull(accelerator);
        firmware.ifPresent(path -> absolute("firmware", path));
        Objects.requireNonNull(boot);
        disks = List.copyOf(disks);
        if (disks.stream().map(Disk::path).distinct().count() != disks.size()) {
            throw new IllegalArgumentException("disks: two have the same path");
        }
        List<Path> replicas =
                disks.stream()
                        .filter(disk -> disk.access() == Access.READ_WRITE)
                        .map(Disk::replica)
                        .toList();
        if (replicas.stream().distinct().count() != replicas.size()) {
            throw new IllegalArgumentException("disks: two have the same replica");
        }
        nics = List.copyOf(nics);
        if (nics.stream().map(Nic::mac).distinct().count() != nics.size()) {
            throw new IllegalArgumentException("nics: two have the same MAC address");
        }
        Objects.requireNonNull(random);
        Objects.requireNonNull(display);
        serial.ifPresent(path -> absolute("serial", path));
        extra = List.copyOf(extra);
        Objects.requireNonNull(foreign);
        Objects.requireNonNull(remusBackup);
    }

    /** A domain that Holdfast puts together itself. */
    public DomainSpec(
            String name,
            UUID uuid,
            int memoryMiB,
            int vcpus,
            String machine,
            Accelerator accelerator,
            Optional<Path> firmware,
            Optional<Kernel> boot,
            List<Disk> disks,
            List<Nic> nics,
            RandomDevice random,
            Display display,
            Optional<Path> serial,
            List<String> extra) {
        this(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                nics,
                random,
                display,
                serial,
                extra,
                Optional.empty(),
                Optional.empty());
    }

    /**
     * A domain with this name and memory, one vCPU, a random number generator, and nothing else.
     */
    public static DomainSpec of(String name, int memoryMiB) {
        return of(name, UUID.randomUUID(), memoryMiB);
    }

    /** As {@link #of(String, int)}, with this UUID. */
    public static DomainSpec of(String name, UUID uuid, int memoryMiB) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                1,
                "q35",
                Accelerator.AUTO,
                Optional.empty(),
                Optional.empty(),
                List.of(),
                List.of(),
                RandomDevice.PRESENT,
                Display.NONE,
                Optional.empty(),
                List.of());
    }

    /** Bytes of main memory. */
    public long memoryBytes() {
        return (long) memoryMiB << 20;
    }

    public DomainSpec withVcpus(int count) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                count,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                nics,
                random,
                display,
                serial,
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withAccelerator(Accelerator chosen) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                chosen,
                firmware,
                boot,
                disks,
                nics,
                random,
                display,
                serial,
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withBoot(Kernel kernel) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                Optional.of(kernel),
                disks,
                nics,
                random,
                display,
                serial,
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withDisks(List<Disk> all) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                all,
                nics,
                random,
                display,
                serial,
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withNics(List<Nic> all) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                all,
                random,
                display,
                serial,
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withDisplay(Display screen) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                nics,
                random,
                screen,
                serial,
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withSerial(Path file) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                nics,
                random,
                display,
                Optional.of(file),
                extra,
                foreign,
                remusBackup);
    }

    /** Files that it names, but for those in {@code extra} and {@code foreign}. */
    public List<Path> files() {
        List<Path> all = new ArrayList<>();
        withFiles(
                file -> {
                    all.add(file);
                    return file;
                });
        return all;
    }

    /** Each of {@link #files} replaced. */
    public DomainSpec withFiles(UnaryOperator<Path> moved) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware.map(moved),
                boot.map(
                        kernel ->
                                new Kernel(
                                        moved.apply(kernel.kernel()),
                                        kernel.initrd().map(moved),
                                        kernel.commandLine())),
                disks.stream()
                        .map(
                                disk ->
                                        new Disk(
                                                moved.apply(disk.path()),
                                                disk.format(),
                                                disk.access(),
                                                disk.virtualBytes(),
                                                disk.namedReplica().map(moved),
                                                disk.peer()))
                        .toList(),
                nics,
                random,
                display,
                serial.map(moved),
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withExtra(List<String> arguments) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                nics,
                random,
                display,
                serial,
                arguments,
                foreign,
                remusBackup);
    }

    /** This one's words, under another name. */
    public DomainSpec withName(String other) {
        return new DomainSpec(
                other,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                nics,
                random,
                display,
                serial,
                extra,
                foreign,
                remusBackup);
    }

    public DomainSpec withForeign(ForeignCommandLine line) {
        return new DomainSpec(
                name,
                uuid,
                memoryMiB,
                vcpus,
                machine,
                accelerator,
                firmware,
                boot,
                disks,
                nics,
                random,
                display,
                serial,
                extra,
                Optional.of(line),
                remusBackup);
    }

    /**
     * The same machine with other taps, for its second copy on a host.
     *
     * @param taps one for each {@link TapNic}, in order
     */
    public DomainSpec withTaps(List<String> taps) {
        long wanted = nics.stream().filter(TapNic.class::isInstance).count();
        if (taps.size() != wanted) {
            throw new IllegalArgumentException(
                    "taps: found " + taps.size() + ", expected " + wanted);
        }
        List<Nic> replaced = new ArrayList<>();
        int next = 0;
        for (Nic nic : nics) {
            replaced.add(
                    switch (nic) {
                        case TapNic(String mac, String _, Optional<String> bridge) ->
                                new TapNic(mac, taps.get(next++), bridge);
                        case UserNic user -> user;
                    });
        }
        return withNics(replaced);
    }

    private static void absolute(String field, Path path) {
        if (!path.isAbsolute()) {
            throw new IllegalArgumentException(
                    field + ": found '" + path + "', expected an absolute path");
        }
    }

    private static void requireMac(String mac) {
        if (!MAC.matcher(mac).matches() || (Integer.parseInt(mac.substring(0, 2), 16) & 1) != 0) {
            throw new IllegalArgumentException(
                    "mac: found '" + mac + "', expected a unicast address like 52:54:00:12:34:56");
        }
    }

    static void requireInterface(String field, String name) {
        if (!INTERFACE.matcher(name).matches() || name.startsWith("-") || name.startsWith(".")) {
            throw new IllegalArgumentException(
                    field
                            + ": found '"
                            + name
                            + "', expected an interface name of 1 to 15 characters");
        }
    }

    private static void requireRange(String field, int value, int min, int max) {
        if (value < min || value > max) {
            throw new IllegalArgumentException(
                    field + ": found " + value + ", expected " + min + " to " + max);
        }
    }
}
