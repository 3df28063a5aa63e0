package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.DomainSpec.Access;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Format;
import holdfast.qemu.launch.QemuCommandLine.Start;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Makes the arguments of a second copy of a machine from those of the first. What the guest can see
 * stays word by word; what belongs to a host is replaced: memory file, monitors, screens, consoles,
 * scripts, images of disks that the guest may write, how the process runs. What this does not know,
 * or knows to be impossible, is refused.
 */
public final class StandbyCommandLine {
    /** What the guest sees, with an argument. */
    private static final Set<String> KEPT =
            Set.of(
                    "name",
                    "uuid",
                    "cpu",
                    "smp",
                    "m",
                    "numa",
                    "boot",
                    "kernel",
                    "initrd",
                    "append",
                    "dtb",
                    "bios",
                    "global",
                    "rtc",
                    "icount",
                    "fw_cfg",
                    "smbios",
                    "acpitable",
                    "option-rom",
                    "vga",
                    "k",
                    "L",
                    "compat",
                    "msg",
                    "overcommit",
                    "action",
                    "watchdog-action",
                    "usbdevice",
                    "echr",
                    "rotate");

    /** The same without an argument. */
    private static final Set<String> KEPT_SWITCHES =
            Set.of(
                    "nodefaults",
                    "no-user-config",
                    "no-reboot",
                    "no-shutdown",
                    "no-acpi",
                    "no-hpet",
                    "no-fd-bootchk",
                    "usb",
                    "singlestep",
                    "win2k-hack",
                    "only-migratable");

    /**
     * The host's, with an argument. Sandboxes forbid the fork that leaves a daemon. What uses a
     * descriptor of {@code -add-fd} names it {@link #PASSED}.
     */
    private static final Set<String> DROPPED =
            Set.of(
                    "accel",
                    "add-fd",
                    "qmp",
                    "qmp-pretty",
                    "monitor",
                    "mon",
                    "pidfile",
                    "incoming",
                    "loadvm",
                    "D",
                    "d",
                    "dfilter",
                    "trace",
                    "gdb",
                    "display",
                    "vnc",
                    "spice",
                    "sandbox",
                    "runas",
                    "run-with");

    /** The same without an argument. */
    private static final Set<String> DROPPED_SWITCHES =
            Set.of(
                    "S",
                    "daemonize",
                    "s",
                    "enable-kvm",
                    "mem-prealloc",
                    "full-screen",
                    "portrait",
                    "enable-sync-profile",
                    "async-teardown");

    private static final String NO_GRAPHIC = "nographic";

    /** How a file that was passed as a descriptor is named. */
    static final String PASSED = "/dev/fdset/";

    static final String PASSED_ADVICE = "a passed descriptor cannot be passed on; name the file";

    /** All that take no argument. */
    private static final Set<String> SWITCHES =
            Stream.of(KEPT_SWITCHES, DROPPED_SWITCHES, Set.of(NO_GRAPHIC))
                    .flatMap(Set::stream)
                    .collect(Collectors.toUnmodifiableSet());

    private static final Map<String, String> REFUSED =
            Map.ofEntries(
                    Map.entry("chroot", "start it without"),
                    Map.entry("fsdev", "a directory of the host is not replicated"),
                    Map.entry("virtfs", "a directory of the host is not replicated"),
                    Map.entry("tpmdev", "a TPM's state is not replicated"),
                    Map.entry(
                            "snapshot",
                            "what the guest writes is thrown away: start it without -snapshot"),
                    Map.entry("audio", "use -audiodev and -device"),
                    Map.entry("readconfig", "put what the file says on the command line"),
                    Map.entry("net", "use -nic or -netdev: frames in a hub pass by the filters"),
                    Map.entry("mem-path", "use -object memory-backend-file,...,share=on"),
                    Map.entry("fda", "a floppy is not replicated: use -drive if=virtio"),
                    Map.entry("fdb", "a floppy is not replicated: use -drive if=virtio"),
                    Map.entry("sd", "an SD card is not replicated: use -drive if=virtio"),
                    Map.entry("pflash", "use -drive if=pflash,...,readonly=on"));

    private static final Set<String> OBJECTS =
            Set.of(
                    "iothread",
                    "main-loop",
                    "rng-random",
                    "rng-builtin",
                    "throttle-group",
                    "secret",
                    "cryptodev-backend-builtin");

    /** They serve screens, monitors and placement, which a copy has not. */
    private static final Pattern OBJECTS_DROPPED =
            Pattern.compile("tls-creds-.*|tls-cipher-suites|authz-.*|thread-context");

    private static final Pattern DEVICES_REFUSED =
            Pattern.compile(
                    "vhost-.*|vfio-.*|.*balloon.*|ivshmem.*|pvrdma|usb-host|usb-redir|usb-mtp"
                        + "|ccid-card-.*|pc-dimm|nvdimm|virtio-(p?mem)(-.*)?|virtio-9p.*|scsi-block"
                        + "|scsi-generic|tpm-.*|ipmi-bmc-extern|xen-.*|x-.*");

    private static final Set<String> CHARACTERS_KEPT =
            Set.of("null", "ringbuf", "memory", "msmouse");

    private static final Set<String> PLACEMENT =
            Set.of("prealloc", "prealloc-threads", "prealloc-context", "policy", "discard-data");

    /** What a file has not that has a name. */
    private static final Set<String> MEMFD_ALONE = Set.of("seal", "hugetlb", "hugetlbsize");

    private final ForeignCommandLine line;
    private final Path ram;
    private final List<ForeignOption> options;
    private final ForeignDisks disks;
    private final List<String> arguments = new ArrayList<>();
    private final List<String> accelerators = new ArrayList<>();
    private final List<String> secrets = new ArrayList<>();
    private boolean hasRam;
    private boolean hasDefaults = true;
    private boolean hasNetwork;

    private StandbyCommandLine(ForeignCommandLine line, Path ram) {
        this.line = line;
        this.ram = ram;
        this.options = options(line);
        this.disks = ForeignDisks.of(options, line.directory());
    }

    /**
     * The arguments, without the binary.
     *
     * @param here the disks that the guest may write, as they are on this host, in the order of
     *     {@link #images}
     * @param accelerator KVM or TCG
     * @throws HypervisorException naming the argument that cannot be had a second time
     */
    public static List<String> of(
            ForeignCommandLine line,
            List<Disk> here,
            QemuFiles files,
            Accelerator accelerator,
            Start start) {
        StandbyCommandLine copy = new StandbyCommandLine(line, files.ram());
        copy.derive(here);
        copy.accelerate(accelerator);
        copy.add("-display", "none");
        copy.add("-monitor", "none");
        copy.arguments.addAll(QemuCommandLine.monitors(files));
        copy.arguments.addAll(QemuCommandLine.process(files, start));
        return List.copyOf(copy.arguments);
    }

    /**
     * The images of the disks that the guest may write, in order; and, like {@link #of}, whether a
     * copy can be had at all.
     */
    public static List<Path> images(ForeignCommandLine line) {
        StandbyCommandLine copy = new StandbyCommandLine(line, Path.of("/replica"));
        List<Path> images = copy.disks.images();
        copy.derive(
                images.stream()
                        .map(path -> new Disk(path, Format.RAW, Access.READ_WRITE))
                        .toList());
        return images;
    }

    /** The interface of every tap that has a name, by the netdev's id. */
    public static Map<String, String> taps(ForeignCommandLine line) {
        Map<String, String> taps = new HashMap<>();
        for (ForeignOption option : options(line)) {
            if (option.name().equals("netdev")) {
                QemuOptions netdev = option.parsed("type");
                netdev.get("ifname")
                        .filter(_ -> netdev.get("type").filter("tap"::equals).isPresent())
                        .ifPresent(tap -> taps.put(netdev.get("id").orElse(""), tap));
            }
        }
        return taps;
    }

    private static List<ForeignOption> options(ForeignCommandLine line) {
        List<ForeignOption> options = new ArrayList<>();
        List<String> words = line.arguments();
        for (int i = 0; i < words.size(); i++) {
            String word = words.get(i);
            String name = name(word);
            if (name.isEmpty()) {
                options.add(new ForeignOption("hda", word));
            } else if (SWITCHES.contains(name)) {
                options.add(new ForeignOption(name, ""));
            } else if (REFUSED.containsKey(name)) {
                throw ForeignOption.refused(word, REFUSED.get(name));
            } else if (i + 1 == words.size()) {
                throw ForeignOption.refused(word, "it is not known here, or its value is missing");
            } else {
                options.add(new ForeignOption(name, words.get(++i)));
            }
        }
        return options;
    }

    private void derive(List<Disk> here) {
        for (int i = 0; i < options.size(); i++) {
            Optional<List<String>> ofDisk = disks.words(i, here);
            if (ofDisk.isPresent()) {
                arguments.addAll(ofDisk.get());
            } else if (SWITCHES.contains(options.get(i).name())) {
                zeroArguments(options.get(i).name());
            } else {
                oneArgument(options.get(i));
            }
        }
        dropUnusedSecrets();
        for (String word : arguments) {
            if (word.contains(PASSED)) {
                throw refused(word, PASSED_ADVICE);
            }
        }
        if (!hasRam) {
            throw refused(
                    "-object memory-backend-file,id=" + line.ramId(),
                    "main memory was not made by the command line");
        }
        if (hasDefaults && !hasNetwork) {
            throw refused("a NIC by default", "start it with -nodefaults, -nic none or a -netdev");
        }
    }

    /**
     * Those that only screens and consoles used, or nobody, such as the key that libvirt makes for
     * every start, in a file that no other host has. Last first: one may be the key to a later one.
     */
    private void dropUnusedSecrets() {
        for (String secret : secrets.reversed()) {
            String id = id(parse("object", secret, "qom-type"));
            int at = arguments.indexOf(secret);
            boolean used =
                    IntStream.range(0, arguments.size())
                            .anyMatch(i -> i != at && arguments.get(i).contains(id));
            if (!used) {
                arguments.subList(at - 1, at + 1).clear();
            }
        }
    }

    /** The option's name; empty for a word that is none. */
    private static String name(String word) {
        return word.startsWith("--")
                ? word.substring(2)
                : word.startsWith("-") ? word.substring(1) : "";
    }

    private void zeroArguments(String name) {
        if (KEPT_SWITCHES.contains(name)) {
            hasDefaults &= !name.equals("nodefaults");
            add("-" + name);
        } else if (name.equals(NO_GRAPHIC)) {
            // What it says beside "no screen": the firmware talks on the serial port.
            add("-machine", "graphics=off");
        }
    }

    private void oneArgument(ForeignOption option) {
        String name = option.name();
        String value = option.value();
        switch (name) {
            case "machine", "M" -> machine(value);
            case "accel" -> accelerators.add(value);
            case "object" -> object(value);
            case "device" -> device(option);
            case "netdev", "nic" -> network(name, value);
            // Read-only ones, which are on every host.
            case "drive" -> add("-drive", value);
            case "blockdev" -> blockdev(option);
            case "cdrom" -> add("-drive", "media=cdrom,readonly=on,index=2,file=" + escaped(value));
            case "set" -> set(option);
            case "chardev" -> characters(value);
            case "serial", "parallel", "debugcon" -> add("-" + name, port(value));
            case "audiodev" ->
                    add("-audiodev", "none,id=" + escaped(id(parse(name, value, "driver"))));
            default -> {
                if (KEPT.contains(name)) {
                    add("-" + name, value);
                } else if (!DROPPED.contains(name)) {
                    throw refused(
                            "-" + name, "it is not known here: whether a copy can have it, too");
                }
            }
        }
    }

    private void set(ForeignOption option) {
        if (option.value().startsWith("drive.")) {
            throw option.refused("write it into the -drive");
        }
        add("-set", option.value());
    }

    private void machine(String value) {
        QemuOptions options = parse("machine", value, "type");
        options.get("accel").ifPresent(accelerators::add);
        for (QemuOptions.Entry entry : options.entries()) {
            if (entry.key().equals("memory-encryption")
                    || entry.key().equals("confidential-guest-support")) {
                throw refused(
                        "-machine " + entry.key(), "encrypted memory cannot be read from outside");
            }
        }
        QemuOptions kept = options.without("accel"::equals);
        if (!kept.entries().isEmpty()) {
            add("-machine", kept.text());
        }
    }

    /** What the primary runs under; with its properties where it was asked for by name. */
    private void accelerate(Accelerator accelerator) {
        String wanted = accelerator.qemuName();
        add(
                "-accel",
                accelerators.stream()
                        .filter(text -> text.equals(wanted) || text.startsWith(wanted + ","))
                        .findFirst()
                        .orElse(wanted));
    }

    private void object(String value) {
        QemuOptions options = parse("object", value, "qom-type");
        String type = options.get("qom-type").orElse("");
        if (options.get("id").filter(line.ramId()::equals).isPresent()
                && type.startsWith("memory-backend-")) {
            if (options.has("offset") || options.isOn("readonly")) {
                throw refused("-object " + value, "main memory must be a whole file");
            }
            hasRam = true;
            QemuOptions memory =
                    options.without(key -> PLACEMENT.contains(key) || key.startsWith("host-nodes"))
                            .without(MEMFD_ALONE::contains)
                            .with("qom-type", "memory-backend-file")
                            .with("mem-path", ram.toString())
                            .with("share", "on");
            add("-object", memory.text());
        } else if (OBJECTS.contains(type)) {
            if (type.equals("secret")) {
                secrets.add(value);
            }
            add("-object", value);
        } else if (type.startsWith("memory-backend-")) {
            throw refused("-object " + value, "memory outside the main backend is not tracked");
        } else if (!OBJECTS_DROPPED.matcher(type).matches()) {
            throw refused(
                    "-object " + value, "it is not known here: whether a copy can have it, too");
        }
    }

    private void device(ForeignOption option) {
        QemuOptions device = option.parsed("driver");
        String driver = device.get("driver").orElse("");
        if (DEVICES_REFUSED.matcher(driver.toLowerCase(Locale.ROOT)).matches()) {
            throw option.refused("its state is not in what QEMU saves of a device");
        }
        if (device.isOn("mq")) {
            throw option.refused("use mq=off: a filter sees the first queue alone");
        }
        if (!disks.images().isEmpty()) {
            requireReplicable(option, device);
        }
        add("-device", option.value());
    }

    private static void requireReplicable(ForeignOption option, QemuOptions device) {
        if (device.isOn("share-rw")) {
            throw option.refused(
                    "what others write to a shared disk is not replicated: use share-rw=off");
        }
        if (device.entries().stream().anyMatch(e -> e.key().startsWith("iothread"))) {
            throw option.refused(
                    "disks that the guest may write are replicated from QEMU's main thread alone:"
                            + " start it without iothread=");
        }
    }

    private void network(String name, String value) {
        hasNetwork = true;
        QemuOptions options = parse(name, value, "type");
        String type = options.get("type").orElse("");
        switch (type) {
            case "none" -> add("-" + name, value);
            case "user" -> {
                // Two copies on one host cannot listen on one port, and a port of the host that
                // died helps nobody.
                QemuOptions kept =
                        options.without(
                                key ->
                                        key.startsWith("hostfwd")
                                                || key.startsWith("guestfwd")
                                                || key.startsWith("smb"));
                add("-" + name, kept.text());
            }
            case "tap" -> {
                for (String key : List.of("fd", "fds", "helper", "br")) {
                    if (options.has(key)) {
                        throw refused(
                                "-" + name + " " + value,
                                key + "= cannot be had a second time: use ifname=TAP");
                    }
                }
                if (options.has("vhostfd") || options.has("vhostfds")) {
                    throw refused("-" + name + " " + value, "use vhost=off and no vhostfd=");
                }
                if (!options.has("ifname")) {
                    throw refused("-" + name + " " + value, "use ifname=TAP");
                }
                if (options.isOn("vhost") || options.isOn("vhostforce")) {
                    throw refused("-" + name + " " + value, "use vhost=off");
                }
                if (options.get("vnet_hdr").isPresent() && !options.isOn("vnet_hdr")) {
                    throw refused("-" + name + " " + value, "start it without vnet_hdr=off");
                }
                if (options.get("queues").filter(count -> !count.equals("1")).isPresent()) {
                    throw refused("-" + name + " " + value, "start it without queues=");
                }
                if (name.equals("nic")) {
                    throw refused(
                            "-nic " + value, "write a tap as -netdev tap,... and -device ...");
                }
                add(
                        "-" + name,
                        options.with("script", "no")
                                .with("downscript", "no")
                                .with("vhost", "off")
                                .text());
            }
            default ->
                    throw refused(
                            "-" + name + " " + value,
                            "a network of this kind cannot be had a second time: use tap");
        }
    }

    /** Read-only itself, or below one that is. */
    private void blockdev(ForeignOption option) {
        ForeignDisks.requireCached(option, option.parsed("driver"));
        add("-blockdev", option.value());
    }

    /** Its reader is on the other host; the guest's port stays. */
    private void characters(String value) {
        QemuOptions options = parse("chardev", value, "backend");
        if (CHARACTERS_KEPT.contains(options.get("backend").orElse(""))) {
            add("-chardev", value);
            return;
        }
        String mux = options.isOn("mux") ? ",mux=on" : "";
        add("-chardev", "null,id=" + escaped(id(options)) + mux);
    }

    private static String port(String value) {
        return value.equals("none") || value.startsWith("chardev:") ? value : "null";
    }

    private static String id(QemuOptions options) {
        return options.get("id").orElse("");
    }

    private static String escaped(String value) {
        return value.replace(",", ",,");
    }

    private static QemuOptions parse(String name, String value, String implied) {
        return new ForeignOption(name, value).parsed(implied);
    }

    private static HypervisorException refused(String argument, String advice) {
        return ForeignOption.refused(argument, advice);
    }

    private void add(String... words) {
        arguments.addAll(List.of(words));
    }
}
