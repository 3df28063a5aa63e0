package holdfast.node.config;

import holdfast.node.api.RemusRequest;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A node's own settings; every key may be absent.
 *
 * @param name how other nodes show this one; the host's name unless given
 * @param host address to listen on for other nodes
 * @param port TCP port there, 1 to 65,535
 * @param stateDirectory where domains are remembered; the command line's choice unless given
 * @param ramDirectory where guest memory lies
 * @param replicaDirectory where replicas of disks lie, {@code DOMAIN/diskN.raw}; where the domain's
 *     description says unless given
 * @param heartbeatMillis default for {@link RemusRequest#heartbeatMillis}
 * @param deadlineMillis default for {@link RemusRequest#deadlineMillis}
 * @param reprotect whether the node looks by itself for another one when protection was lost
 * @param hooksDirectory where executables lie that a migration's features may name
 */
public record NodeFile(
        String name,
        String host,
        int port,
        Optional<Path> stateDirectory,
        Path ramDirectory,
        Optional<Path> replicaDirectory,
        int heartbeatMillis,
        int deadlineMillis,
        boolean reprotect,
        Path hooksDirectory) {
    static final List<String> KEYS =
            List.of(
                    "name",
                    "listen",
                    "stateDirectory",
                    "ramDirectory",
                    "replicaDirectory",
                    "heartbeatMillis",
                    "deadlineMillis",
                    "reprotect",
                    "hooksDirectory");
    private static final Path HOOKS_DEFAULT = Path.of("/etc/holdfast/hooks");
    private static final int FILE_BYTES_MAX = 1 << 20;

    /** The settings of a node without a file. */
    public static NodeFile defaults() {
        return parse("defaults", "{}");
    }

    /**
     * @throws ConfigException where it cannot be read or has mistakes
     */
    public static NodeFile read(Path file) {
        try {
            if (Files.size(file) > FILE_BYTES_MAX) {
                throw new ConfigException(
                        List.of(
                                new Mistake(
                                        file.toString(),
                                        1,
                                        1,
                                        "the file has "
                                                + Files.size(file)
                                                + " bytes, allowed "
                                                + FILE_BYTES_MAX)),
                        null);
            }
            return parse(file.toString(), Files.readString(file));
        } catch (IOException e) {
            throw new ConfigException(
                    List.of(new Mistake(file.toString(), 1, 1, unreadable(e))), e);
        }
    }

    private static String unreadable(IOException e) {
        return switch (e) {
            case NoSuchFileException _ -> "there is no such file";
            case CharacterCodingException _ -> "this is not UTF-8 text";
            default -> "cannot read this file: " + e.getMessage();
        };
    }

    /**
     * @throws ConfigException with every mistake
     */
    public static NodeFile parse(String file, String yaml) {
        Keys.Mistakes mistakes = new Keys.Mistakes(file);
        Keys keys = new Keys(mistakes, "", YamlReader.read(file, yaml), KEYS);
        Path parent = Path.of(file).toAbsolutePath().getParent();
        Path base = parent == null ? Path.of("/") : parent;
        String name =
                keys.text("name", "a name")
                        .filter(text -> nonBlank(keys, text))
                        .orElseGet(NodeFile::hostName);
        Listen listen =
                keys.parsed(
                                "listen",
                                "host:port such as 0.0.0.0:7227, the port 1 to 65535",
                                Listen::parse)
                        .orElse(new Listen("0.0.0.0", RemusRequest.PORT_DEFAULT));
        Optional<Path> state = keys.path("stateDirectory", base);
        Path ram = keys.path("ramDirectory", base).orElse(Path.of("/dev/shm"));
        Optional<Path> replicas = keys.path("replicaDirectory", base);
        int heartbeat =
                keys.integer(
                        "heartbeatMillis",
                        RemusRequest.HEARTBEAT_MILLIS_MIN,
                        RemusRequest.HEARTBEAT_MILLIS_MAX,
                        RemusRequest.HEARTBEAT_MILLIS_DEFAULT);
        int deadline =
                keys.integer(
                        "deadlineMillis",
                        2 * heartbeat,
                        RemusRequest.DEADLINE_MILLIS_MAX,
                        Math.max(RemusRequest.DEADLINE_MILLIS_DEFAULT, 2 * heartbeat));
        boolean reprotect = keys.truth("reprotect", true);
        Path hooks = keys.path("hooksDirectory", base).orElse(HOOKS_DEFAULT);
        mistakes.throwIfAny();
        return new NodeFile(
                name,
                listen.host(),
                listen.port(),
                state,
                ram,
                replicas,
                heartbeat,
                deadline,
                reprotect,
                hooks);
    }

    /**
     * These settings, with what the command line says in their place.
     *
     * @param listen {@code host:port}
     * @param replicas absolute
     * @throws ConfigException where that is wrong
     */
    public NodeFile with(
            Optional<String> otherName, Optional<String> listen, Optional<Path> replicas) {
        Listen where = listen.map(NodeFile::listenOption).orElse(new Listen(host, port));
        return new NodeFile(
                otherName.orElse(name),
                where.host(),
                where.port(),
                stateDirectory,
                ramDirectory,
                replicas.or(() -> replicaDirectory),
                heartbeatMillis,
                deadlineMillis,
                reprotect,
                hooksDirectory);
    }

    private static Listen listenOption(String text) {
        try {
            return Listen.parse(text);
        } catch (IllegalArgumentException e) {
            throw new ConfigException(
                    List.of(
                            new Mistake(
                                    "--listen",
                                    1,
                                    1,
                                    "found \""
                                            + text
                                            + "\", expected host:port, the port 1 to 65535")),
                    e);
        }
    }

    private static boolean nonBlank(Keys keys, String text) {
        if (text.isBlank() || text.length() > 255) {
            keys.wrong("name", "found \"" + text + "\", expected 1 to 255 characters");
            return false;
        }
        return true;
    }

    private static String hostName() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        } catch (IOException e) {
            throw new IllegalStateException(
                    "this host tells no name in /proc/sys/kernel/hostname; give the node one", e);
        }
    }

    /** {@code host:port}; an IPv6 address stands in brackets. */
    private record Listen(String host, int port) {
        static Listen parse(String text) {
            int colon = text.lastIndexOf(':');
            if (colon < 1) {
                throw new IllegalArgumentException("no port");
            }
            String host = text.substring(0, colon);
            if (host.startsWith("[") && host.endsWith("]")) {
                host = host.substring(1, host.length() - 1);
            } else if (host.contains(":")) {
                throw new IllegalArgumentException("brackets are missing");
            }
            int port = Integer.parseInt(text.substring(colon + 1));
            if (host.isEmpty() || port < 1 || port > 65535) {
                throw new IllegalArgumentException("port out of range");
            }
            return new Listen(host, port);
        }
    }
}
