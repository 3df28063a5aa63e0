package holdfast.node.config;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainName;
import holdfast.node.api.DomainSource;
import holdfast.node.link.NodeAddress;
import holdfast.node.store.SpecCodec;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.ForeignCommandLine;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

/**
 * A domain's description: YAML as operators write it, and the same keys as JSON where a node
 * remembers or sends it.
 *
 * <pre>
 * name: web                     # required
 * memory: 256M                  # required; M, G
 * uuid: 6f4b7bd2-...            # made up once unless given
 * vcpus: 1
 * machine: q35
 * accelerator: auto             # auto, kvm, tcg
 * firmware: /path
 * boot: {kernel: /path, initrd: /path, commandLine: text}
 * disks: [/path, {path: /path, format: raw|qcow2, access: read-write|read-only, replica: /path}]
 * nics:  [{tap: name, bridge: name, mac: 52:54:00:..}, {user: true, forwards: [{host: 2222, guest: 22}]}]
 * random: true                  # a virtio random number generator
 * display: none                 # none, std
 * serial: /path                 # where the first serial port's output goes
 * extra: [-device, ...]         # further arguments for QEMU
 * remus_backup: host            # protected by this node from the beginning
 * foreign: {...}                # how an attached QEMU was started; written by `attach` alone
 * </pre>
 */
public final class DomainFile {
    static final List<String> KEYS =
            List.of(
                    "name",
                    "memory",
                    "uuid",
                    "vcpus",
                    "machine",
                    "accelerator",
                    "firmware",
                    "boot",
                    "disks",
                    "nics",
                    "random",
                    "display",
                    "serial",
                    "extra",
                    "remus_backup",
                    "foreign");
    private static final int MEMORY_MIB_MAX = 4 << 20;
    private static final ObjectMapper JSON = new ObjectMapper();

    /** How the state directory writes a description down. */
    public static final SpecCodec<DomainSpec> CODEC =
            new SpecCodec<>() {
                @Override
                public String write(DomainSpec spec) {
                    return DomainFile.write(spec);
                }

                @Override
                public DomainSpec read(String file, String text) {
                    return parse(file, text);
                }
            };

    private DomainFile() {}

    /** What an operator sent; mistakes are {@link ApiException.Kind#BAD_REQUEST}, a line each. */
    public static DomainSpec parse(DomainSource source) {
        try {
            return parse(source.file(), source.yaml());
        } catch (ConfigException e) {
            throw new ApiException(ApiException.Kind.BAD_REQUEST, e.getMessage(), e);
        }
    }

    /**
     * @param file named in messages, and what relative paths are relative to
     * @param yaml YAML, of which JSON is a part
     * @throws ConfigException with every mistake
     */
    public static DomainSpec parse(String file, String yaml) {
        Keys.Mistakes mistakes = new Keys.Mistakes(file);
        Keys keys = new Keys(mistakes, "", YamlReader.read(file, yaml), KEYS);
        Path parent = Path.of(file).toAbsolutePath().getParent();
        Path base = parent == null ? Path.of("/") : parent;
        keys.require("name", DomainName.RULE);
        keys.require("memory", "a size such as 256M or 1G");
        String name =
                keys.text("name", DomainName.RULE)
                        .map(
                                text -> {
                                    if (!DomainName.isLegal(text)) {
                                        keys.wrong(
                                                "name",
                                                "found \""
                                                        + text
                                                        + "\", expected "
                                                        + DomainName.RULE);
                                    }
                                    return text;
                                })
                        .orElse("x");
        int memoryMib = keys.mebibytes("memory", MEMORY_MIB_MAX, 1);
        UUID uuid =
                keys.parsed(
                                "uuid",
                                "a UUID such as 6f4b7bd2-0a53-4a6e-9e38-7fbd6f2f4a11",
                                DomainFile::uuid)
                        .orElseGet(UUID::randomUUID);
        int vcpus = keys.integer("vcpus", 1, 255, 1);
        String machine = keys.text("machine", "a machine type such as q35").orElse("q35");
        Accelerator accelerator = keys.choice("accelerator", Accelerator.class, Accelerator.AUTO);
        Optional<Path> firmware = keys.path("firmware", base);
        Optional<DomainSpec.Kernel> boot =
                keys.node("boot").flatMap(node -> boot(mistakes, node, base));
        List<DomainSpec.Disk> disks =
                keys.list("disks", (where, node) -> DiskKeys.read(mistakes, where, node, base));
        List<DomainSpec.Nic> nics =
                keys.list("nics", (where, node) -> nic(mistakes, where, node, uuid));
        DomainSpec.RandomDevice random =
                keys.truth("random", true)
                        ? DomainSpec.RandomDevice.PRESENT
                        : DomainSpec.RandomDevice.ABSENT;
        DomainSpec.Display display =
                keys.choice("display", DomainSpec.Display.class, DomainSpec.Display.NONE);
        Optional<Path> serial = keys.path("serial", base);
        List<String> extra = keys.list("extra", (where, node) -> argument(mistakes, where, node));
        Optional<String> remusBackup =
                keys.understood(
                        "remus_backup",
                        "a node, HOST or HOST:PORT",
                        text -> {
                            NodeAddress.parse(text);
                            return text;
                        });
        Optional<ForeignCommandLine> foreign =
                keys.node("foreign").flatMap(node -> foreign(mistakes, node));
        Optional<DomainSpec> spec =
                keys.make(
                        () ->
                                new DomainSpec(
                                        name,
                                        uuid,
                                        memoryMib,
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
                                        remusBackup));
        mistakes.throwIfAny();
        return spec.orElseThrow();
    }

    private static UUID uuid(String text) {
        UUID uuid = UUID.fromString(text);
        if (!uuid.toString().equalsIgnoreCase(text)) {
            throw new IllegalArgumentException("an abbreviated UUID: " + text);
        }
        return uuid;
    }

    private static Optional<DomainSpec.Kernel> boot(
            Keys.Mistakes mistakes, YamlNode node, Path base) {
        Keys keys = new Keys(mistakes, "boot", node, List.of("kernel", "initrd", "commandLine"));
        keys.require("kernel", "the path of a kernel");
        Optional<Path> kernel = keys.path("kernel", base);
        Optional<Path> initrd = keys.path("initrd", base);
        String commandLine = keys.text("commandLine", "text").orElse("");
        return keys.make(() -> new DomainSpec.Kernel(kernel.orElseThrow(), initrd, commandLine));
    }

    private static Optional<ForeignCommandLine> foreign(Keys.Mistakes mistakes, YamlNode node) {
        Keys keys =
                new Keys(
                        mistakes,
                        "foreign",
                        node,
                        List.of("binary", "directory", "ramId", "arguments", "devices"));
        keys.require("binary", "the path of QEMU");
        keys.require("directory", "the directory it was started in");
        keys.require("ramId", "the id of the memory backend that is main memory");
        keys.require("arguments", "QEMU's arguments");
        Optional<Path> binary = keys.path("binary", Path.of("/"));
        Optional<Path> directory = keys.path("directory", Path.of("/"));
        Optional<String> ramId = keys.text("ramId", "an id");
        List<String> arguments =
                keys.list("arguments", (where, item) -> argument(mistakes, where, item));
        List<String> devices =
                keys.list("devices", (where, item) -> argument(mistakes, where, item));
        return keys.make(
                () ->
                        new ForeignCommandLine(
                                binary.orElseThrow(),
                                directory.orElseThrow(),
                                ramId.orElseThrow(),
                                arguments,
                                devices));
    }

    private static Optional<DomainSpec.Nic> nic(
            Keys.Mistakes mistakes, String where, YamlNode node, UUID uuid) {
        Keys keys =
                new Keys(
                        mistakes, where, node, List.of("tap", "bridge", "user", "forwards", "mac"));
        String mac =
                keys.text("mac", "an address such as 52:54:00:12:34:56")
                        .orElseGet(() -> madeUpMac(uuid, where));
        Optional<String> tap = keys.text("tap", "the name of a tap interface");
        Optional<String> bridge = keys.text("bridge", "the name of a bridge");
        boolean user = keys.truth("user", false);
        List<DomainSpec.Forward> forwards =
                keys.list("forwards", (at, item) -> forward(mistakes, at, item));
        if (keys.has("tap") == user) {
            keys.wrong("tap", "each NIC has either tap: NAME or user: true");
        } else if (user && keys.has("bridge")) {
            keys.wrong("bridge", "allowed only beside tap");
        } else if (!user && keys.has("forwards")) {
            keys.wrong("forwards", "allowed only beside user: true");
        }
        return keys.make(
                () ->
                        user
                                ? new DomainSpec.UserNic(mac, forwards)
                                : new DomainSpec.TapNic(mac, tap.orElseThrow(), bridge));
    }

    private static Optional<DomainSpec.Forward> forward(
            Keys.Mistakes mistakes, String where, YamlNode node) {
        Keys keys = new Keys(mistakes, where, node, List.of("host", "guest"));
        keys.require("host", "a port of this host");
        keys.require("guest", "a port of the guest");
        int host = keys.integer("host", 1, 65535, 1);
        int guest = keys.integer("guest", 1, 65535, 1);
        return keys.make(() -> new DomainSpec.Forward(host, guest));
    }

    /** QEMU's own prefix and three bytes that are the same for the same domain and NIC. */
    private static String madeUpMac(UUID uuid, String where) {
        UUID digest = UUID.nameUUIDFromBytes((uuid + where).getBytes(StandardCharsets.UTF_8));
        long bits = digest.getMostSignificantBits();
        return String.format(
                "52:54:00:%02x:%02x:%02x",
                bits >>> 56 & 0xff, bits >>> 48 & 0xff, bits >>> 40 & 0xff);
    }

    private static Optional<String> argument(Keys.Mistakes mistakes, String where, YamlNode node) {
        if (node instanceof YamlNode.Scalar(int _, int _, YamlNode.Kind kind, String text)
                && kind != YamlNode.Kind.NOTHING) {
            return Optional.of(text);
        }
        mistakes.add(
                node.line(),
                node.column(),
                where + ": found " + node.describe() + ", expected an argument for QEMU");
        return Optional.empty();
    }

    /** The description as JSON that {@link #parse} reads as an equal one; paths are absolute. */
    public static String write(DomainSpec spec) {
        ObjectNode root = JSON.createObjectNode();
        root.put("name", spec.name())
                .put("memory", spec.memoryMiB() + "M")
                .put("uuid", spec.uuid().toString());
        root.put("vcpus", spec.vcpus()).put("machine", spec.machine());
        root.put("accelerator", Keys.kebab(spec.accelerator()));
        spec.firmware().ifPresent(path -> root.put("firmware", path.toString()));
        spec.boot()
                .ifPresent(
                        boot -> {
                            ObjectNode node =
                                    root.putObject("boot").put("kernel", boot.kernel().toString());
                            boot.initrd().ifPresent(path -> node.put("initrd", path.toString()));
                            node.put("commandLine", boot.commandLine());
                        });
        ArrayNode disks = root.putArray("disks");
        for (DomainSpec.Disk disk : spec.disks()) {
            DiskKeys.write(disks.addObject(), disk);
        }
        ArrayNode nics = root.putArray("nics");
        for (DomainSpec.Nic nic : spec.nics()) {
            writeNic(nics.addObject().put("mac", nic.mac()), nic);
        }
        root.put("random", spec.random() == DomainSpec.RandomDevice.PRESENT)
                .put("display", Keys.kebab(spec.display()));
        spec.serial().ifPresent(path -> root.put("serial", path.toString()));
        ArrayNode extra = root.putArray("extra");
        spec.extra().forEach(extra::add);
        spec.remusBackup().ifPresent(backup -> root.put("remus_backup", backup));
        spec.foreign().ifPresent(line -> writeForeign(root.putObject("foreign"), line));
        try {
            return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a tree that cannot be written", e);
        }
    }

    private static void writeForeign(ObjectNode node, ForeignCommandLine line) {
        node.put("binary", line.binary().toString())
                .put("directory", line.directory().toString())
                .put("ramId", line.ramId());
        ArrayNode arguments = node.putArray("arguments");
        line.arguments().forEach(arguments::add);
        ArrayNode devices = node.putArray("devices");
        line.devices().forEach(devices::add);
    }

    private static void writeNic(ObjectNode node, DomainSpec.Nic nic) {
        switch (nic) {
            case DomainSpec.TapNic(String _, String tap, Optional<String> bridge) -> {
                node.put("tap", tap);
                bridge.ifPresent(name -> node.put("bridge", name));
            }
            case DomainSpec.UserNic(String _, List<DomainSpec.Forward> forwards) -> {
                ArrayNode list = node.put("user", true).putArray("forwards");
                for (DomainSpec.Forward forward : forwards) {
                    list.addObject()
                            .put("host", forward.hostPort())
                            .put("guest", forward.guestPort());
                }
            }
        }
    }
}
