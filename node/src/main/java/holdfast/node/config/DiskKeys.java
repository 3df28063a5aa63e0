package holdfast.node.config;

import com.fasterxml.jackson.databind.node.ObjectNode;

import holdfast.node.link.NodeAddress;
import holdfast.qemu.launch.DiskImage;
import holdfast.qemu.launch.DomainSpec;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One disk of a description: a mapping, or only its path. In place of a path stands, too, what xend
 * and xl call a replicated disk:
 *
 * <pre>
 * [tap: | tap2:] remus:HOST:PORT|aio:PATH [,TARGET[,MODE]]
 * </pre>
 *
 * where TARGET names the disk in the guest (a virtio disk takes its name from its place in the
 * list) and MODE is {@code w} or {@code r}.
 */
final class DiskKeys {
    private static final List<String> KEYS =
            List.of("path", "format", "access", "replica", "peer", "bytes");
    private static final Pattern REPLICATED = Pattern.compile("(?:tap2?:)?remus:(.*)");
    private static final Pattern PARTS =
            Pattern.compile("([^|]+)\\|aio:([^,]+)(?:,[A-Za-z0-9/:]+(?:,(w|r))?)?");

    /** As xend and xl say what a path is, which is found out here. */
    private static final Pattern TYPED =
            Pattern.compile("(?:phy|file|(?:tap2?:)?(?:aio|qcow2?|vhd)):([^,]+).*");

    private static final String FORM = "[tap:]remus:HOST:PORT|aio:PATH[,TARGET[,w|r]]";

    private DiskKeys() {}

    /** What a path says. */
    private record Image(Path path, Optional<String> peer, Optional<DomainSpec.Access> access) {}

    /** A file as it stands in YAML; empty where it is a mistake, which was noted. */
    static Optional<DomainSpec.Disk> read(
            Keys.Mistakes mistakes, String where, YamlNode node, Path base) {
        return switch (node) {
            case YamlNode.Scalar scalar -> alone(mistakes, where, scalar, base);
            case YamlNode.Mapping _, YamlNode.Sequence _ -> mapping(mistakes, where, node, base);
        };
    }

    private static Optional<DomainSpec.Disk> alone(
            Keys.Mistakes mistakes, String where, YamlNode.Scalar scalar, Path base) {
        if (scalar.kind() != YamlNode.Kind.TEXT) {
            mistakes.add(
                    scalar.line(),
                    scalar.column(),
                    where
                            + ": found "
                            + scalar.describe()
                            + ", expected the path of an image, or a mapping with the keys "
                            + String.join(", ", KEYS));
            return Optional.empty();
        }
        try {
            Image image = image(scalar.text(), base);
            return Optional.of(
                    disk(
                            image,
                            DomainSpec.Format.AUTO,
                            image.access().orElse(DomainSpec.Access.READ_WRITE),
                            OptionalLong.empty(),
                            Optional.empty(),
                            Optional.empty()));
        } catch (IllegalArgumentException e) {
            mistakes.add(scalar.line(), scalar.column(), where + ": " + e.getMessage());
            return Optional.empty();
        }
    }

    private static Optional<DomainSpec.Disk> mapping(
            Keys.Mistakes mistakes, String where, YamlNode node, Path base) {
        Keys keys = new Keys(mistakes, where, node, KEYS);
        keys.require("path", "the path of a disk image");
        Optional<Image> image = keys.understood("path", "a path", text -> image(text, base));
        DomainSpec.Format format =
                keys.choice("format", DomainSpec.Format.class, DomainSpec.Format.AUTO);
        DomainSpec.Access access =
                keys.choice(
                        "access",
                        DomainSpec.Access.class,
                        image.flatMap(Image::access).orElse(DomainSpec.Access.READ_WRITE));
        Optional<Path> replica = keys.path("replica", base);
        Optional<String> peer = keys.understood("peer", "HOST:PORT", DiskKeys::peer);
        OptionalLong bytes = keys.bytes("bytes", DiskImage.SECTOR_BYTES);
        if (image.flatMap(Image::access).filter(said -> said != access).isPresent()) {
            keys.wrong("access", "found " + Keys.kebab(access) + ", but path says otherwise");
        }
        if (peer.isPresent() && image.flatMap(Image::peer).isPresent()) {
            keys.wrong("peer", "allowed only where path does not name one");
        }
        if (access == DomainSpec.Access.READ_ONLY && (replica.isPresent() || peer.isPresent())) {
            keys.wrong(
                    replica.isPresent() ? "replica" : "peer",
                    "a read-only disk has no replica: the other node opens the same path");
        }
        return keys.make(() -> disk(image.orElseThrow(), format, access, bytes, replica, peer));
    }

    private static DomainSpec.Disk disk(
            Image image,
            DomainSpec.Format format,
            DomainSpec.Access access,
            OptionalLong bytes,
            Optional<Path> replica,
            Optional<String> peer) {
        // A read-only disk is not replicated, so nobody receives it.
        Optional<String> receiver =
                image.peer().filter(_ -> access == DomainSpec.Access.READ_WRITE).or(() -> peer);
        return new DomainSpec.Disk(image.path(), format, access, bytes, replica, receiver);
    }

    /**
     * @throws IllegalArgumentException with what was found and expected
     */
    private static Image image(String text, Path base) {
        Matcher typed = TYPED.matcher(text);
        if (typed.matches()) {
            throw new IllegalArgumentException(
                    "found \""
                            + text
                            + "\", expected the path alone, of a file or a block device: "
                            + typed.group(1));
        }
        Matcher replicated = REPLICATED.matcher(text);
        if (!replicated.matches()) {
            return new Image(Keys.resolved(text, base), Optional.empty(), Optional.empty());
        }
        Matcher parts = PARTS.matcher(replicated.group(1));
        if (!parts.matches()) {
            throw new IllegalArgumentException("found \"" + text + "\", expected " + FORM);
        }
        Optional<DomainSpec.Access> access =
                Optional.ofNullable(parts.group(3))
                        .map(
                                mode ->
                                        mode.equals("w")
                                                ? DomainSpec.Access.READ_WRITE
                                                : DomainSpec.Access.READ_ONLY);
        return new Image(
                Keys.resolved(parts.group(2), base), Optional.of(peer(parts.group(1))), access);
    }

    /** Unlike a node's address, with its port: it is not one of ours. */
    private static String peer(String text) {
        if (!text.matches(".+:[0-9]+")) {
            throw new IllegalArgumentException(
                    "found \"" + text + "\", expected HOST:PORT of who receives the replica");
        }
        return NodeAddress.parse(text).toString();
    }

    /** As {@link #read} reads it again. */
    static void write(ObjectNode node, DomainSpec.Disk disk) {
        node.put("path", disk.path().toString())
                .put("format", Keys.kebab(disk.format()))
                .put("access", Keys.kebab(disk.access()));
        disk.namedReplica().ifPresent(replica -> node.put("replica", replica.toString()));
        disk.peer().ifPresent(peer -> node.put("peer", peer));
        disk.virtualBytes().ifPresent(bytes -> node.put("bytes", bytes));
    }
}
