package holdfast.qemu.domain;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.engine.HypervisorException;
import holdfast.qemu.domain.GuestNic.VnetHeader;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.qmp.QemuVersion;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpReply;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a running QEMU is made of, as far as protecting it needs to know.
 *
 * @param name the domain's; its UUID where it has none
 * @param ramFile the file that is main memory; of one without a name, QEMU's descriptor
 * @param ramBytes its size
 * @param ramBackend the path of its memory backend
 */
public record RunningQemu(
        String name,
        UUID uuid,
        QemuVersion version,
        ProcessIdentity process,
        Path ramFile,
        long ramBytes,
        String ramBackend,
        List<GuestNic> nics) {

    private static final String INSPECT = "attach";
    private static final String RAM_ADVICE =
            "start it with -object"
                + " memory-backend-file,id=ram,size=...,mem-path=/dev/shm/...,share=on and -machine"
                + " ...,memory-backend=ram, or with memory-backend-memfd,...,share=on";
    private static final String FILE_BACKEND = "memory-backend-file";
    private static final String MEMFD_BACKEND = "memory-backend-memfd";

    /**
     * What the descriptors of such memory are called.
     *
     * @spec https://gitlab.com/qemu-project/qemu/-/blob/master/backends/hostmem-memfd.c
     *     memfd_backend_memory_alloc
     */
    private static final String MEMFD = "/memfd:memory-backend-memfd (deleted)";

    /**
     * Later ones leave only memory with a name out of what {@code x-ignore-shared} saves (seen with
     * 10.0.13): {@code ramblock_is_ignored} of migration/ram.c asks for {@code RAM_NAMED_FILE}.
     */
    private static final QemuVersion LAST_WITHOUT_NAMELESS_MEMORY =
            new QemuVersion(7, Integer.MAX_VALUE, 0);

    private static final QemuVersion LAST_SAFE_WITH_VMDESC =
            new QemuVersion(7, Integer.MAX_VALUE, 0);
    private static final Pattern GUEST_END =
            Pattern.compile(
                    "(\\S+): index=(\\d+),type=nic,model=([^,]+),macaddr=([0-9a-f:]{17}).*");
    private static final Pattern HOST_END =
            Pattern.compile("\\s*\\\\ (\\S+): index=(\\d+),type=([a-z-]+).*");

    public RunningQemu {
        nics = List.copyOf(nics);
    }

    /**
     * Asks QEMU.
     *
     * @throws HypervisorException naming the option to start it with, if it cannot be protected
     */
    static RunningQemu inspect(QmpClient qmp, ProcessIdentity process) {
        UUID uuid = UUID.fromString(qmp.execute("query-uuid").path("UUID").asText());
        String name = qmp.execute("query-name").path("name").asText(uuid.toString());
        QemuVersion version = qmp.greeting().version();
        if (version.compareTo(LAST_SAFE_WITH_VMDESC) > 0
                && !get(qmp, "/machine", "suppress-vmdesc").asBoolean()) {
            throw refusal(
                    name,
                    "QEMU " + version + " crashes on a state save without suppress-vmdesc",
                    "start it with -machine ...,suppress-vmdesc=on");
        }
        String backend = get(qmp, "/machine", "memory-backend").asText();
        if (backend.isEmpty()) {
            throw refusal(name, "its main memory is no memory backend", RAM_ADVICE);
        }
        String type = get(qmp, backend, "type").asText();
        boolean shared = get(qmp, backend, "share").asBoolean();
        long ramBytes = get(qmp, backend, "size").asLong();
        Path ramFile;
        if (shared && type.equals(FILE_BACKEND)) {
            ramFile = Path.of(get(qmp, backend, "mem-path").asText());
            requireFile(name, ramFile);
        } else if (shared && type.equals(MEMFD_BACKEND)) {
            if (version.compareTo(LAST_WITHOUT_NAMELESS_MEMORY) > 0) {
                throw refusal(
                        name,
                        "QEMU "
                                + version
                                + " puts all of a memory-backend-memfd into its state, which no"
                                + " standby loads",
                        "start it with -object memory-backend-file,...,share=on in /dev/shm");
            }
            if (get(qmp, backend, "hugetlb").asBoolean()) {
                throw refusal(name, "its main memory is in large pages", "use hugetlb=off");
            }
            ramFile = descriptor(name, process, ramBytes);
        } else {
            throw refusal(
                    name,
                    "its main memory is a "
                            + (shared ? "" : "private ")
                            + type
                            + ", no file that this node can open",
                    RAM_ADVICE);
        }
        if (OpenFiles.of(process.pid()).contains("/dev/vhost-net")) {
            throw refusal(
                    name,
                    "a NIC uses vhost, which passes frames by QEMU's filters",
                    "start it with -netdev tap,...,vhost=off");
        }
        return new RunningQemu(
                name, uuid, version, process, ramFile, ramBytes, backend, nics(name, qmp));
    }

    /** QEMU hides the file it makes in a directory; large pages are not tracked one by one. */
    private static void requireFile(String name, Path ram) {
        if (!Files.isRegularFile(ram)) {
            throw refusal(
                    name,
                    "mem-path=" + ram + " is no file that can be opened here",
                    "name a file in it, such as mem-path=/dev/shm/" + name);
        }
        try {
            if (Files.getFileStore(ram).type().equals("hugetlbfs")) {
                throw refusal(name, "mem-path=" + ram + " is in large pages", RAM_ADVICE);
            }
        } catch (IOException e) {
            throw new HypervisorException(INSPECT, "cannot look at " + ram, e);
        }
    }

    /** A file without a name, which the process's own descriptor opens while that lives. */
    private static Path descriptor(String name, ProcessIdentity process, long bytes) {
        try {
            for (Path descriptor : OpenFiles.descriptors(process.pid(), MEMFD)) {
                if (Files.size(descriptor) == bytes) {
                    return descriptor;
                }
            }
        } catch (IOException e) {
            throw new HypervisorException(
                    INSPECT, "cannot look at the memory of process " + process.pid(), e);
        }
        throw refusal(name, "QEMU has no " + bytes + " bytes of " + MEMFD + " open", RAM_ADVICE);
    }

    /** The id of main memory's backend. */
    String ramId() {
        return ramBackend.substring(ramBackend.lastIndexOf('/') + 1);
    }

    /** Each device's type and id, as {@code info qtree} tells. */
    static List<String> devices(QmpClient qmp) {
        return qmp.execute("human-monitor-command", Map.of("command-line", "info qtree"))
                .asText()
                .lines()
                .map(String::strip)
                .filter(line -> line.startsWith("dev: "))
                .map(line -> line.substring("dev: ".length()))
                .toList();
    }

    static List<GuestNic> nics(String name, QmpClient qmp) {
        String text =
                qmp.execute("human-monitor-command", Map.of("command-line", "info network"))
                        .asText();
        return parseNics(name, text);
    }

    /** Reads what {@code info network} says: each NIC's line, then its host end's. */
    static List<GuestNic> parseNics(String name, String text) {
        List<GuestNic> nics = new ArrayList<>();
        String mac = null;
        for (String line : text.split("\r?\n")) {
            Matcher guest = GUEST_END.matcher(line);
            Matcher host = HOST_END.matcher(line);
            if (guest.matches()) {
                requireSingleQueue(name, guest.group(1), guest.group(2));
                mac = guest.group(4);
            } else if (host.matches() && mac != null) {
                requireSingleQueue(name, host.group(1), host.group(2));
                String type = host.group(3);
                if (type.startsWith("vhost")) {
                    throw refusal(
                            name,
                            "netdev "
                                    + host.group(1)
                                    + " is of type "
                                    + type
                                    + ", which passes QEMU by",
                            "use -netdev tap,...,vhost=off");
                }
                VnetHeader header = type.equals("tap") ? VnetHeader.PRESENT : VnetHeader.ABSENT;
                nics.add(new GuestNic(nics.size(), host.group(1), type, mac, header));
                mac = null;
            }
        }
        return nics;
    }

    private static void requireSingleQueue(String name, String end, String index) {
        if (!index.equals("0")) {
            throw refusal(
                    name,
                    end + " has several queues",
                    "start it without queues= and mq=on: a filter sees the first queue alone");
        }
    }

    private static JsonNode get(QmpClient qmp, String path, String property) {
        QmpReply reply =
                qmp.request(
                        "qom-get",
                        Map.of("path", path, "property", property),
                        QmpClient.COMMAND_LIMIT);
        return reply.orThrow("qom-get " + path + " " + property);
    }

    private static HypervisorException refusal(String name, String reason, String advice) {
        return new HypervisorException(
                INSPECT, "domain " + name + " cannot be protected: " + reason + "; " + advice);
    }
}
