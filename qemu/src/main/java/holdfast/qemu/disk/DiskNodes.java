package holdfast.qemu.disk;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.DiskImage;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.DomainSpec.Access;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Format;
import holdfast.qemu.launch.ForeignCommandLine;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.StandbyCommandLine;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpReply;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/**
 * Which block nodes of a running QEMU are a domain's disks. Those that were started from a
 * description have names; those that somebody else's command line made are found by their images,
 * for QEMU invents names such as {@code #block123}.
 */
public final class DiskNodes {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Set<String> EMPTY_DRIVERS = Set.of("null-co", "null-aio");
    private static final Set<String> FILE_DRIVERS = Set.of("file", "host_device");
    private static final String JSON_FILE = "json:";

    private DiskNodes() {}

    /**
     * The node of a disk that the guest may write, fit to be mirrored.
     *
     * @param index of one of {@code spec}'s disks
     * @throws HypervisorException if it is not there as described, or cannot be mirrored
     */
    public static String of(QmpClient qmp, DomainSpec spec, int index) {
        if (spec.foreign().isEmpty()) {
            return QemuCommandLine.diskNode(index);
        }
        Path image = spec.disks().get(index).path();
        JsonNode block = only(image, written(qmp), spec.foreign().get().directory());
        requireMirrorable(qmp, block, image);
        return block.path("inserted").path("node-name").asText();
    }

    /**
     * The disks of a QEMU that somebody else started, as far as the guest may write them, in the
     * order of {@link StandbyCommandLine#images}.
     *
     * @throws HypervisorException naming one that cannot be replicated, or that is not as the
     *     command line says
     */
    public static List<Disk> found(QmpClient qmp, ForeignCommandLine line) {
        List<Path> images = StandbyCommandLine.images(line);
        List<JsonNode> written = written(qmp);
        List<JsonNode> unknown = new ArrayList<>(written);
        List<Disk> disks = new ArrayList<>();
        for (Path image : images) {
            JsonNode block = only(image, written, line.directory());
            requireMirrorable(qmp, block, image);
            if (!Files.isRegularFile(image) && !DiskImage.isBlockDevice(image)) {
                throw refused(
                        image, "is neither a file nor a block device here; name it by its path");
            }
            unknown.remove(block);
            JsonNode inserted = block.path("inserted");
            disks.add(
                    new Disk(
                            image,
                            inserted.path("drv").asText().equals("qcow2")
                                    ? Format.QCOW2
                                    : Format.RAW,
                            Access.READ_WRITE,
                            OptionalLong.of(inserted.path("image").path("virtual-size").asLong()),
                            Optional.empty(),
                            Optional.empty()));
        }
        if (!unknown.isEmpty()) {
            throw new HypervisorException(
                    "attach",
                    "the guest may write "
                            + unknown.getFirst().path("inserted").path("file").asText()
                            + ", which its command line does not name as a disk that it may write:"
                            + " it was plugged or opened for writing later, or a job runs on it;"
                            + " put it on the command line");
        }
        return disks;
    }

    /** What has an image open for writing, as {@code query-block} tells. */
    private static List<JsonNode> written(QmpClient qmp) {
        List<JsonNode> found = new ArrayList<>();
        for (JsonNode block : qmp.execute("query-block")) {
            JsonNode inserted = block.path("inserted");
            if (!inserted.isMissingNode()
                    && !inserted.path("ro").asBoolean()
                    && !EMPTY_DRIVERS.contains(inserted.path("drv").asText())) {
                found.add(block);
            }
        }
        return found;
    }

    private static JsonNode only(Path image, List<JsonNode> written, Path directory) {
        List<JsonNode> same =
                written.stream()
                        .filter(block -> file(block, directory).filter(image::equals).isPresent())
                        .toList();
        if (same.isEmpty()) {
            throw refused(
                    image,
                    "is not what QEMU has open for writing: it is read-only, was unplugged, or a"
                            + " snapshot or a job was begun on it since QEMU was started");
        }
        if (same.size() > 1) {
            throw refused(image, "is two disks of one machine");
        }
        return same.getFirst();
    }

    /** The image of a block node. QEMU tells options that a file name does not as JSON. */
    private static Optional<Path> file(JsonNode block, Path directory) {
        String told = block.path("inserted").path("file").asText();
        String name = told;
        if (told.startsWith(JSON_FILE)) {
            try {
                JsonNode node = JSON.readTree(told.substring(JSON_FILE.length()));
                while (node.has("file")) {
                    node = node.path("file");
                }
                name = node.path("filename").asText();
            } catch (JsonProcessingException e) {
                throw new HypervisorException(
                        "query-block", "an image's name is no JSON: " + told, e);
            }
        }
        return name.isEmpty() ? Optional.empty() : Optional.of(directory.resolve(name).normalize());
    }

    private static void requireMirrorable(QmpClient qmp, JsonNode block, Path image) {
        String driver = block.path("inserted").path("drv").asText();
        if (!Set.of("raw", "qcow2").contains(driver) && !FILE_DRIVERS.contains(driver)) {
            throw refused(
                    image, "is opened by \"" + driver + "\"; raw and qcow2 images are replicated");
        }
        String device = block.path("qdev").asText();
        if (!device.isEmpty()) {
            if (property(qmp, device, "share-rw").filter(JsonNode::asBoolean).isPresent()) {
                throw refused(
                        image,
                        "is shared with others, whose writes are not replicated; start it without"
                                + " share-rw=on");
            }
            if (property(qmp, device, "iothread")
                    .filter(thread -> !thread.asText().isEmpty())
                    .isPresent()) {
                throw refused(image, "is served by an I/O thread; start it without iothread=");
            }
        }
        String own = block.path("device").asText();
        String node = block.path("inserted").path("node-name").asText();
        for (JsonNode job : qmp.execute("query-block-jobs")) {
            String on = job.path("device").asText();
            if (on.equals(own) || on.equals(node)) {
                throw refused(image, "has a block job; wait for its end");
            }
        }
    }

    private static Optional<JsonNode> property(QmpClient qmp, String device, String name) {
        return switch (qmp.request(
                "qom-get", Map.of("path", device, "property", name), QmpClient.COMMAND_LIMIT)) {
            case QmpReply.Returned(JsonNode value) -> Optional.of(value);
            // Not every device has it.
            case QmpReply.Failed _ -> Optional.empty();
        };
    }

    private static HypervisorException refused(Path image, String why) {
        return new HypervisorException("disks", "the domain's disk " + image + " " + why);
    }
}
