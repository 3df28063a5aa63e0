package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Format;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * The disks of a foreign command line that the guest may write, numbered in the order of the
 * options that make them, and what becomes of those options where the images are others.
 *
 * <p>A disk is a {@code -drive}, a short form of one such as {@code -hda}, or a {@code -blockdev}
 * that a device uses together with the nodes below it. Whatever a replica cannot have, or is not
 * known to have, is refused by name.
 */
final class ForeignDisks {
    private static final Map<String, String> SHORT_FORMS =
            Map.of("hda", "0", "hdb", "1", "hdc", "2", "hdd", "3");

    private static final Set<String> INTERFACES = Set.of("ide", "scsi", "virtio", "none");

    /** What a raw image has not. */
    private static final Pattern OF_QCOW2 =
            Pattern.compile(
                    "backing|lazy-refcounts|pass-discard-.*|discard-no-unref|overlap-check.*"
                            + "|cache-size|l2-cache-size|l2-cache-entry-size|refcount-cache-size"
                            + "|cache-clean-interval");

    /** A drive's own, beside what its image and its file have. */
    private static final Pattern OF_DRIVE =
            Pattern.compile(
                    "id|if|index|bus|unit|media|file|format|cache|cache\\.writeback|werror|rerror"
                            + "|readonly|snapshot|copy-on-read|group|throttling\\..+"
                            + "|(bps|iops)(_.+)?");

    private static final Pattern OF_IMAGE =
            Pattern.compile(
                    "driver|node-name|size|read-only|auto-read-only|discard|detect-zeroes"
                            + "|cache\\.direct|cache\\.no-flush|force-share");

    private static final Pattern OF_FILE =
            Pattern.compile(
                    "driver|node-name|filename|aio|aio-max-batch|locking|read-only|auto-read-only"
                            + "|discard|detect-zeroes|cache\\.direct|cache\\.no-flush"
                            + "|force-share");

    /** What another image keeps of a node that is replaced. */
    private static final Set<String> KEPT_OF_IMAGE =
            Set.of("node-name", "discard", "detect-zeroes", "cache.direct", "cache.no-flush");

    private static final Set<String> KEPT_OF_FILE =
            Set.of("aio", "aio-max-batch", "discard", "cache.direct", "cache.no-flush");

    private static final Set<String> FILE_DRIVERS = Set.of("file", "host_device");
    private static final String INLINE = "file.";

    /** What an option is to a disk. */
    private sealed interface Part {
        record Drive(int disk, QemuOptions options) implements Part {}

        /**
         * The node that a device uses.
         *
         * @param file the node that opens the image, which may be this one
         */
        record Image(int disk, QemuOptions options, QemuOptions file) implements Part {}

        /** A node that opens the image. */
        record File(int disk, QemuOptions options) implements Part {}

        /** A node of which this disk alone is an overlay; a replica is none. */
        record Below(int disk) implements Part {}
    }

    private final List<ForeignOption> options;
    private final Path directory;
    private final Map<String, Integer> nodes = new HashMap<>();
    private final Map<Integer, Part> parts = new TreeMap<>();
    private final List<Path> images = new ArrayList<>();

    private ForeignDisks(List<ForeignOption> options, Path directory) {
        this.options = options;
        this.directory = directory;
    }

    /**
     * @param directory that relative paths are relative to
     * @throws HypervisorException naming the option of a disk that cannot be replicated
     */
    static ForeignDisks of(List<ForeignOption> options, Path directory) {
        ForeignDisks disks = new ForeignDisks(options, directory);
        for (int i = 0; i < options.size(); i++) {
            if (options.get(i).name().equals("blockdev")) {
                disks.nodes.put(disks.parsed(i).get("node-name").orElse(options.get(i).value()), i);
            }
        }
        for (int i = 0; i < options.size(); i++) {
            disks.look(i);
        }
        disks.nodes.values().forEach(disks::requireKnown);
        return disks;
    }

    /** Their images as the command line has them, in order. */
    List<Path> images() {
        return List.copyOf(images);
    }

    private QemuOptions parsed(int option) {
        return options.get(option)
                .parsed(options.get(option).name().equals("drive") ? "file" : "driver");
    }

    private void look(int option) {
        ForeignOption is = options.get(option);
        String index = SHORT_FORMS.get(is.name());
        if (index != null) {
            requirePlain(is, is.value());
            add(option, is.value(), disk -> new Part.Drive(disk, shortForm(is.value(), index)));
        } else if (is.name().equals("drive")) {
            drive(option, parsed(option));
        } else if (is.name().equals("blockdev") && !isReadOnly(option)) {
            node(option, parsed(option));
        }
    }

    private static QemuOptions shortForm(String file, String index) {
        return new QemuOptions(
                List.of(
                        new QemuOptions.Entry("file", file),
                        new QemuOptions.Entry("index", index),
                        new QemuOptions.Entry("media", "disk")));
    }

    /** What is no part of a disk that the guest may write is not written at all. */
    private void requireKnown(int option) {
        QemuOptions node = parsed(option);
        if (!parts.containsKey(option)
                && !node.get("driver").orElse("").startsWith("null-")
                && !node.isOn("read-only")
                && !node.isOn("auto-read-only")) {
            throw options.get(option)
                    .refused("no disk that a device may write uses it: use read-only=on");
        }
    }

    private interface Making {
        Part of(int disk);
    }

    private void add(int option, String file, Making part) {
        if (file.startsWith(StandbyCommandLine.PASSED)) {
            throw options.get(option).refused(StandbyCommandLine.PASSED_ADVICE);
        }
        parts.put(option, part.of(images.size()));
        images.add(directory.resolve(file).normalize());
    }

    private void drive(int option, QemuOptions drive) {
        ForeignOption is = options.get(option);
        requireCached(is, drive);
        boolean empty =
                drive.entries().stream()
                        .noneMatch(e -> e.key().equals("file") || e.key().startsWith(INLINE));
        boolean readOnly =
                drive.isOn("readonly")
                        || drive.isOn("read-only")
                        || drive.get("media").filter("cdrom"::equals).isPresent();
        if (empty || readOnly) {
            return;
        }
        String place = drive.get("if").orElse("ide");
        if (place.equals("pflash")) {
            throw is.refused(
                    "flash memory that the guest may write is no part of a checkpoint: use"
                            + " readonly=on");
        }
        if (!INTERFACES.contains(place)) {
            throw is.refused("disks on if=" + place + " are not replicated: use if=virtio");
        }
        if (drive.isOn("snapshot")) {
            throw is.refused("what the guest writes is thrown away: start it without snapshot=on");
        }
        if (drive.isOn("copy-on-read")) {
            throw is.refused("start it without copy-on-read");
        }
        String file =
                drive.get("file")
                        .or(() -> drive.get(INLINE + "filename"))
                        .orElseThrow(() -> is.refused("write its image as file=PATH"));
        requirePlain(is, file);
        requireFormat(is, drive.get("format").or(() -> drive.get("driver")).orElse("raw"));
        requireFileDriver(is, drive.get(INLINE + "driver").orElse("file"));
        for (QemuOptions.Entry entry : drive.entries()) {
            String key = entry.key();
            if (!OF_DRIVE.matcher(key).matches()
                    && !OF_IMAGE.matcher(key).matches()
                    && !OF_QCOW2.matcher(key).matches()
                    && !isOfInlineFile(key)) {
                throw unknown(is, key);
            }
        }
        add(option, file, disk -> new Part.Drive(disk, drive));
    }

    private void node(int option, QemuOptions node) {
        ForeignOption is = options.get(option);
        requireCached(is, node);
        String name = node.get("node-name").orElse("");
        String driver = node.get("driver").orElse("");
        if (driver.startsWith("null-") || parts.containsKey(option)) {
            return;
        }
        if (!isUsedByDevice(name)) {
            return;
        }
        if (FILE_DRIVERS.contains(driver)) {
            requireKeys(is, node, OF_FILE);
            file(is, name, node, 0);
            add(option, image(is, node), disk -> new Part.Image(disk, node, node));
            return;
        }
        requireFormat(is, driver);
        QemuOptions own =
                node.without(key -> key.equals("file") || isOfInlineFile(key))
                        .without(key -> OF_QCOW2.matcher(key).matches());
        requireKeys(is, own, OF_IMAGE);
        Optional<Integer> below = node.get("file").map(nodes::get);
        if (below.isEmpty()) {
            QemuOptions inline = inlineFile(node);
            file(is, name, inline, 0);
            add(option, image(is, inline), disk -> new Part.Image(disk, node, inline));
            return;
        }
        ForeignOption other = options.get(below.get());
        QemuOptions file = parsed(below.get());
        requireCached(other, file);
        requireKeys(other, file, OF_FILE);
        file(other, node.get("file").get(), file, 1);
        add(option, image(other, file), disk -> new Part.Image(disk, node, file));
        parts.put(below.get(), new Part.File(images.size() - 1, file));
        node.get("backing").ifPresent(backing -> below(backing, images.size() - 1));
    }

    /** A node that opens an image: a file or a block device, for this disk alone. */
    private void file(ForeignOption is, String name, QemuOptions file, int referencesMax) {
        requireFileDriver(is, file.get("driver").orElse(""));
        if (references(name) > referencesMax) {
            throw is.refused("another node uses it, too: give each disk nodes of its own");
        }
    }

    private static String image(ForeignOption is, QemuOptions file) {
        return file.get("filename").orElseThrow(() -> is.refused("write filename=PATH"));
    }

    private void below(String name, int disk) {
        Integer option = nodes.get(name);
        if (option == null || references(name) > 1) {
            return;
        }
        parts.put(option, new Part.Below(disk));
        QemuOptions node = parsed(option);
        node.get("file").ifPresent(file -> below(file, disk));
        node.get("backing").ifPresent(backing -> below(backing, disk));
    }

    /** Whether a node is read-only, or below one that is. */
    private boolean isReadOnly(int option) {
        return parsed(option).isOn("read-only");
    }

    private boolean isUsedByDevice(String node) {
        return options.stream()
                .anyMatch(
                        is ->
                                is.name().equals("device")
                                        && is.parsed("driver")
                                                .get("drive")
                                                .filter(node::equals)
                                                .isPresent());
    }

    private int references(String node) {
        int found = 0;
        for (int option : nodes.values()) {
            found +=
                    (int)
                            parsed(option).entries().stream()
                                    .filter(e -> e.value().equals(node))
                                    .filter(e -> !e.key().equals("node-name"))
                                    .count();
        }
        return found;
    }

    private static QemuOptions inlineFile(QemuOptions node) {
        return new QemuOptions(
                node.entries().stream()
                        .filter(entry -> entry.key().startsWith(INLINE))
                        .map(
                                entry ->
                                        new QemuOptions.Entry(
                                                entry.key().substring(INLINE.length()),
                                                entry.value()))
                        .toList());
    }

    private static boolean isOfInlineFile(String key) {
        return key.startsWith(INLINE) && OF_FILE.matcher(key.substring(INLINE.length())).matches();
    }

    private static void requireKeys(ForeignOption is, QemuOptions options, Pattern known) {
        for (QemuOptions.Entry entry : options.entries()) {
            if (!known.matcher(entry.key()).matches()) {
                throw unknown(is, entry.key());
            }
        }
    }

    private static HypervisorException unknown(ForeignOption is, String key) {
        return is.refused(key + "= is not known here: whether a replica can have it, too");
    }

    private static void requireFormat(ForeignOption is, String format) {
        if (!format.equals("raw") && !format.equals("qcow2")) {
            throw is.refused(
                    "disks in the format " + format + " are not replicated: use raw or qcow2");
        }
    }

    private static void requireFileDriver(ForeignOption is, String driver) {
        if (!FILE_DRIVERS.contains(driver)) {
            throw is.refused("its image must be a file or a block device of this host");
        }
    }

    /** QEMU takes what is before a colon, and before any slash, for a protocol. */
    private static void requirePlain(ForeignOption is, String file) {
        if (file.isEmpty() || file.matches("[^/:]*:.*")) {
            throw is.refused("its image must be a file or a block device of this host");
        }
    }

    static void requireCached(ForeignOption is, QemuOptions options) {
        boolean direct =
                options.entries().stream()
                        .anyMatch(
                                entry ->
                                        entry.key().endsWith("cache.direct")
                                                && !entry.value().equals("off"));
        if (direct
                || options.get("cache")
                        .filter(Set.of("none", "directsync")::contains)
                        .isPresent()) {
            throw is.refused(
                    "direct I/O writes to guest memory where no tracker sees it: use"
                            + " cache=writeback or cache.direct=off");
        }
    }

    /**
     * What becomes of an option where disks are as in {@code here}.
     *
     * @return empty: it is none of a disk's that the guest may write. Else the words in its place,
     *     which may be none
     */
    Optional<List<String>> words(int option, List<Disk> here) {
        if (here.size() != images.size()) {
            throw new HypervisorException(
                    "start standby",
                    "its description has %d disks, its command line %d; attach it again"
                            .formatted(here.size(), images.size()));
        }
        return Optional.ofNullable(parts.get(option))
                .map(
                        part ->
                                switch (part) {
                                    case Part.Drive(int disk, QemuOptions drive) ->
                                            List.of("-drive", drive(drive, here.get(disk)).text());
                                    case Part.Image(int disk, QemuOptions node, QemuOptions file) ->
                                            List.of(
                                                    "-blockdev",
                                                    node(node, file, here.get(disk)).text());
                                    case Part.File(int disk, QemuOptions file) ->
                                            isOverlaid(here.get(disk))
                                                    ? List.of(
                                                            "-blockdev",
                                                            placed("", file, here.get(disk)).text())
                                                    : List.<String>of();
                                    case Part.Below(int disk) ->
                                            isOverlaid(here.get(disk))
                                                    ? List.of(
                                                            "-blockdev",
                                                            options.get(option).value())
                                                    : List.<String>of();
                                });
    }

    /** Replicas are raw, and stand for all of the nodes that the disk was made of. */
    private static boolean isOverlaid(Disk disk) {
        return disk.format() == Format.QCOW2;
    }

    private static QemuOptions drive(QemuOptions drive, Disk disk) {
        QemuOptions file =
                drive.without(
                                key ->
                                        key.equals("driver")
                                                || key.equals("size")
                                                || key.equals(INLINE + "driver")
                                                || key.equals(INLINE + "filename"))
                        .with("file", disk.path().toString())
                        .with("format", formatName(disk))
                        .with(INLINE + "locking", "on");
        return limited(
                isOverlaid(disk) ? file : file.without(key -> OF_QCOW2.matcher(key).matches()),
                disk);
    }

    private static QemuOptions node(QemuOptions node, QemuOptions file, Disk disk) {
        if (isOverlaid(disk)) {
            return node.get("file").isPresent() ? node : placed(INLINE, node, disk);
        }
        List<QemuOptions.Entry> made = new ArrayList<>();
        made.add(new QemuOptions.Entry("driver", formatName(disk)));
        node.entries().stream()
                .filter(entry -> KEPT_OF_IMAGE.contains(entry.key()))
                .forEach(made::add);
        file.entries().stream()
                .filter(entry -> KEPT_OF_FILE.contains(entry.key()))
                .map(entry -> new QemuOptions.Entry(INLINE + entry.key(), entry.value()))
                .forEach(made::add);
        return limited(placed(INLINE, new QemuOptions(made), disk), disk);
    }

    private static QemuOptions placed(String prefix, QemuOptions file, Disk disk) {
        return file.with(
                        prefix + "driver",
                        DiskImage.isBlockDevice(disk.path()) ? "host_device" : "file")
                .with(prefix + "filename", disk.path().toString())
                .with(prefix + "locking", "on");
    }

    private static QemuOptions limited(QemuOptions options, Disk disk) {
        OptionalLong limit = DiskImage.limitBytes(disk);
        return limit.isPresent() ? options.with("size", Long.toString(limit.getAsLong())) : options;
    }

    private static String formatName(Disk disk) {
        return switch (disk.format()) {
            case RAW -> "raw";
            case QCOW2 -> "qcow2";
            case AUTO ->
                    throw new IllegalArgumentException(
                            disk.path() + ": its format was not found out");
        };
    }
}
