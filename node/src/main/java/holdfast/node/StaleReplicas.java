package holdfast.node;

import holdfast.node.link.NodeAddress;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * Replicas on other nodes that are stale and have not been told so yet: one small file each, whose
 * name is the session and which holds the node's address, so that a daemon that is started anew
 * goes on telling. Apart from the ledger, whose order is that of the sessions.
 */
final class StaleReplicas {
    private static final Logger LOG = LoggerFactory.getLogger(StaleReplicas.class);

    private final Path directory;

    StaleReplicas(Path directory) throws IOException {
        this.directory = directory;
        Files.createDirectories(directory);
    }

    /**
     * @throws UncheckedIOException if it cannot be made durable
     */
    synchronized void put(UUID session, NodeAddress peer) {
        Path file = file(session);
        try (FileChannel out =
                        FileChannel.open(
                                file,
                                StandardOpenOption.CREATE,
                                StandardOpenOption.TRUNCATE_EXISTING,
                                StandardOpenOption.WRITE);
                FileChannel names = FileChannel.open(directory, StandardOpenOption.READ)) {
            ByteBuffer content = ByteBuffer.wrap((peer + "\n").getBytes(StandardCharsets.US_ASCII));
            while (content.hasRemaining()) {
                out.write(content);
            }
            out.force(true);
            names.force(true);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot write " + file + ": " + e.getMessage(), e);
        }
    }

    /** The node has been told, or knows better. No effect where it was not to be told. */
    synchronized void remove(UUID session) {
        Path file = file(session);
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            LOG.warn(
                    "event=left-behind what={} effect=\"that node is told once more\""
                            + " reason=\"{}\"",
                    file,
                    e.getMessage());
        }
    }

    /** Those that have still to be told, by session. */
    synchronized Map<UUID, NodeAddress> all() {
        Map<UUID, NodeAddress> all = new LinkedHashMap<>();
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.sorted().toList()) {
                try {
                    all.put(
                            UUID.fromString(file.getFileName().toString()),
                            NodeAddress.parse(Files.readString(file).strip()));
                } catch (IllegalArgumentException | IOException e) {
                    // Its daemon or its host died while it was written.
                    LOG.warn(
                            "event=stale-replica-unreadable file={} reason=\"{}\"",
                            file,
                            e.getMessage());
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + directory, e);
        }
        return all;
    }

    private Path file(UUID session) {
        return directory.resolve(session.toString());
    }
}
