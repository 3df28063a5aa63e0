package holdfast.wire.link;

import holdfast.wire.Bytes;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;

/**
 * Everything two nodes say to each other outside the bulk stream. Immutable; illegal values cannot
 * be held.
 */
public sealed interface LinkMessage {
    /** The version that every node speaks. */
    int PROTOCOL_VERSION = 1;

    /** On a migration's BULK connection: its stream travels in {@link BulkFrame}s. */
    int FRAMED_BULK_VERSION = 2;

    /** Versions a HELLO may offer, at most. */
    int VERSIONS_MAX = 16;

    /** UTF-8 bytes of a name or version text, at most. */
    int NAME_BYTES_MAX = 255;

    /** UTF-8 bytes of a reason, at most; {@link #clip} shortens longer ones. */
    int REASON_BYTES_MAX = 4096;

    /** Bytes of a domain's specification, at most. */
    int SPEC_BYTES_MAX = 256 * 1024;

    /** Bytes of the description of how a survivor is to be protected, at most. */
    int WISH_BYTES_MAX = 16 * 1024;

    /**
     * Bytes of one inbound frame with its virtio-net header, at most: 64 KiB and 4 KiB of headers.
     */
    int FRAME_BYTES_MAX = 68 * 1024;

    /** Disks of a domain that are replicated, at most. */
    int DISKS_MAX = 64;

    /** Bytes of a disk, at most: 64 TiB. */
    long DISK_BYTES_MAX = 1L << 46;

    /** Bytes that follow one DISK_WRITE, at most; longer writes travel as several. */
    int DISK_WRITE_BYTES_MAX = 1 << 20;

    /** Bytes of a cookie, at most. */
    int COOKIE_BYTES_MAX = SPEC_BYTES_MAX + 64 * 1024;

    /** BULK connections of one migration, at most. */
    int MIGRATION_CONNECTIONS_MAX = 16;

    /** Bytes of memory of a protected domain, at most: 16 TiB. */
    long MEMORY_BYTES_MAX = 1L << 44;

    /** Opens and accepts a connection; the same in all versions. */
    sealed interface Handshake extends LinkMessage {}

    /** What a primary says on CONTROL. */
    sealed interface ToSecondary extends LinkMessage {}

    /** What a secondary says on CONTROL. */
    sealed interface ToPrimary extends LinkMessage {}

    /** What goes over DISK. */
    sealed interface DiskMessage extends LinkMessage {}

    /** What goes over INQUIRY. */
    sealed interface Inquiry extends LinkMessage {}

    /** What a migration's source says on MIGRATION. */
    sealed interface ToDestination extends LinkMessage {}

    /** What a migration's destination says on MIGRATION. */
    sealed interface ToSource extends LinkMessage {}

    /**
     * First frame of a connection.
     *
     * @param versions protocol versions the opener speaks, best first
     * @param softwareVersion for people
     * @param session what the connection belongs to or asks about
     */
    record Hello(
            List<Integer> versions,
            String softwareVersion,
            String nodeName,
            UUID nodeId,
            ConnectionKind kind,
            UUID session)
            implements Handshake {
        public Hello {
            versions = List.copyOf(versions);
            require(
                    !versions.isEmpty() && versions.size() <= VERSIONS_MAX,
                    "HELLO versions",
                    "1.." + VERSIONS_MAX + " of them",
                    versions.size());
            for (int version : versions) {
                requireVersion("HELLO version", version);
            }
            requireText("HELLO software version", softwareVersion, NAME_BYTES_MAX);
            requireText("HELLO node name", nodeName, NAME_BYTES_MAX);
        }
    }

    /** The connection is accepted and speaks {@code version} from here on. */
    record Welcome(int version, String softwareVersion, String nodeName, UUID nodeId)
            implements Handshake {
        public Welcome {
            requireVersion("WELCOME version", version);
            requireText("WELCOME software version", softwareVersion, NAME_BYTES_MAX);
            requireText("WELCOME node name", nodeName, NAME_BYTES_MAX);
        }
    }

    /** The connection is not accepted and ends. */
    record Refused(RefusalReason reason, String text) implements Handshake {
        public Refused {
            requireText("REFUSED text", text, REASON_BYTES_MAX);
        }
    }

    /**
     * A disk whose writes will be sent.
     *
     * @param index of the domain's disk
     * @param bytes its size
     */
    record DiskSize(int index, long bytes) {
        public DiskSize {
            requireDisk("OPEN_SESSION disk index", index);
            require(
                    bytes >= 1 && bytes <= DISK_BYTES_MAX,
                    "OPEN_SESSION disk bytes",
                    "1.." + DISK_BYTES_MAX,
                    bytes);
        }
    }

    /**
     * Asks the accepting node to hold the replica of a domain.
     *
     * @param generation the primary's; the survivor's is larger
     * @param specJson what the standby is started from; the format is the nodes'
     * @param memoryBytes main memory, a multiple of 4096
     * @param heartbeatMillis every such time each side sends HEARTBEAT
     * @param deadlineMillis silence of this length is a lost peer
     * @param intervalMillis the guest runs this long between two checkpoints; for people
     * @param arbiter the kind both sides ask
     * @param disks those whose writes will be sent over a DISK connection, by ascending index;
     *     where their replicas lie is the specification's to say
     */
    record OpenSession(
            UUID session,
            String domain,
            long generation,
            Bytes specJson,
            long memoryBytes,
            StreamEncoding encoding,
            int heartbeatMillis,
            int deadlineMillis,
            int intervalMillis,
            String arbiter,
            List<DiskSize> disks)
            implements ToSecondary {
        public OpenSession {
            requireText("OPEN_SESSION domain", domain, NAME_BYTES_MAX);
            require(generation >= 0, "OPEN_SESSION generation", "no negative number", generation);
            require(
                    specJson.size() <= SPEC_BYTES_MAX,
                    "OPEN_SESSION specification",
                    "at most " + SPEC_BYTES_MAX + " bytes",
                    specJson.size());
            require(
                    memoryBytes > 0 && memoryBytes <= MEMORY_BYTES_MAX && memoryBytes % 4096 == 0,
                    "OPEN_SESSION memory bytes",
                    "a multiple of 4096 up to " + MEMORY_BYTES_MAX,
                    memoryBytes);
            require(
                    heartbeatMillis >= 1 && heartbeatMillis <= 60_000,
                    "OPEN_SESSION heartbeat",
                    "1..60000 ms",
                    heartbeatMillis);
            require(
                    deadlineMillis >= 2L * heartbeatMillis && deadlineMillis <= 600_000,
                    "OPEN_SESSION deadline",
                    "from two heartbeats to 600000 ms",
                    deadlineMillis);
            require(
                    intervalMillis >= 1 && intervalMillis <= 600_000,
                    "OPEN_SESSION interval",
                    "1..600000 ms",
                    intervalMillis);
            requireText("OPEN_SESSION arbiter", arbiter, NAME_BYTES_MAX);
            disks = List.copyOf(disks);
            require(
                    disks.size() <= DISKS_MAX,
                    "OPEN_SESSION disks",
                    "at most " + DISKS_MAX,
                    disks.size());
            for (int i = 1; i < disks.size(); i++) {
                require(
                        disks.get(i).index() > disks.get(i - 1).index(),
                        "OPEN_SESSION disk index",
                        "more than the one before, " + disks.get(i - 1).index(),
                        disks.get(i).index());
            }
        }
    }

    /**
     * Says before OPEN_SESSION that the domain is to stay protected: a survivor shall look for
     * another node, the sender first.
     *
     * @param host where the sender listens for other nodes; empty: where it connects from
     * @param port where it listens
     * @param wishJson how to protect, and by which nodes besides; the format is the nodes'
     */
    record StayProtected(String host, int port, Bytes wishJson) implements ToSecondary {
        public StayProtected {
            requireText("STAY_PROTECTED host", host, NAME_BYTES_MAX);
            require(port >= 1 && port <= 0xFFFF, "STAY_PROTECTED port", "1..65535", port);
            require(
                    wishJson.size() <= WISH_BYTES_MAX,
                    "STAY_PROTECTED wish",
                    "at most " + WISH_BYTES_MAX + " bytes",
                    wishJson.size());
        }
    }

    /** The session is open: BULK, INBOUND and, with disks, DISK connections for it are welcome. */
    record SessionAccepted() implements ToPrimary, ToSource {}

    /** The session cannot be; nothing was changed. */
    record SessionRefused(String text) implements ToPrimary, ToSource {
        public SessionRefused {
            requireText("SESSION_REFUSED text", text, REASON_BYTES_MAX);
        }
    }

    /** The sender lives. Any frame on CONTROL proves it as well. */
    record Heartbeat(long sequence) implements ToSecondary, ToPrimary, ToDestination, ToSource {}

    /**
     * A message of the checkpoint handshake.
     *
     * @param message the message's bytes, 4 or 12
     */
    record CheckpointMessage(long epoch, Bytes message) implements ToSecondary, ToPrimary {
        public CheckpointMessage {
            requireEpoch("CHECKPOINT_MESSAGE epoch", epoch);
            require(
                    message.size() == 4 || message.size() == 12,
                    "CHECKPOINT_MESSAGE bytes",
                    "4 or 12",
                    message.size());
        }
    }

    /** The whole checkpoint was written to the bulk stream, and this is what it was. */
    record CheckpointDigest(long epoch, long streamBytes, int crc32c) implements ToSecondary {
        public CheckpointDigest {
            requireEpoch("CHECKPOINT_DIGEST epoch", epoch);
            require(
                    streamBytes >= 0,
                    "CHECKPOINT_DIGEST stream bytes",
                    "no negative number",
                    streamBytes);
        }
    }

    /** Discard the replica and confirm: protection ends in order. */
    record Dismiss(String reason) implements ToSecondary {
        public Dismiss {
            requireText("DISMISS reason", reason, REASON_BYTES_MAX);
        }
    }

    /** The replica is discarded: it cannot be taken over any more. */
    record Discarded(String reason) implements ToPrimary {
        public Discarded {
            requireText("DISCARDED reason", reason, REASON_BYTES_MAX);
        }
    }

    /** The domain belongs to the secondary: stop your copy for good and confirm. */
    record Claim(String reason) implements ToPrimary {
        public Claim {
            requireText("CLAIM reason", reason, REASON_BYTES_MAX);
        }
    }

    /** The primary's copy and its output have stopped for good. */
    record StoodDown() implements ToSecondary {}

    /** The domain's process died on the primary: it will not speak again there. */
    record DomainDied(String reason) implements ToSecondary {
        public DomainDied {
            requireText("DOMAIN_DIED reason", reason, REASON_BYTES_MAX);
        }
    }

    /** The sender has said everything; the end of the connection that follows is planned. */
    record Close(String reason) implements ToSecondary, ToPrimary, ToDestination, ToSource {
        public Close {
            requireText("CLOSE reason", reason, REASON_BYTES_MAX);
        }
    }

    /**
     * One frame the network sent toward the guest while it ran {@code epoch}.
     *
     * @param nic index of the domain's NIC
     * @param vnetHeaderBytes length of the virtio-net header at the front of {@code bytes}
     */
    record InboundFrame(long epoch, int nic, int vnetHeaderBytes, Bytes bytes)
            implements LinkMessage {
        public InboundFrame {
            requireEpoch("INBOUND_FRAME epoch", epoch);
            require(nic >= 0 && nic <= 0xFFFF, "INBOUND_FRAME nic", "0..65535", nic);
            require(
                    bytes.size() >= 1 && bytes.size() <= FRAME_BYTES_MAX,
                    "INBOUND_FRAME bytes",
                    "1.." + FRAME_BYTES_MAX,
                    bytes.size());
            require(
                    vnetHeaderBytes >= 0
                            && vnetHeaderBytes <= 0xFFFF
                            && vnetHeaderBytes < bytes.size(),
                    "INBOUND_FRAME virtio-net header",
                    "fewer bytes than the frame's " + bytes.size(),
                    vnetHeaderBytes);
        }
    }

    /**
     * The guest wrote to a disk; the bytes follow the frame as they are.
     *
     * @param disk place in the list of OPEN_SESSION, from 0
     * @param offset within the disk
     * @param bytes how many follow
     * @param crc32c of them
     */
    record DiskWrite(int disk, long offset, int bytes, int crc32c) implements DiskMessage {
        public DiskWrite {
            requireDisk("DISK_WRITE disk", disk);
            require(
                    bytes >= 1 && bytes <= DISK_WRITE_BYTES_MAX,
                    "DISK_WRITE bytes",
                    "1.." + DISK_WRITE_BYTES_MAX,
                    bytes);
            requireWithin("DISK_WRITE offset", offset, bytes);
        }
    }

    /** The guest wrote zeroes to a disk; its number is as in {@link DiskWrite}. */
    record DiskZeroes(int disk, long offset, long bytes) implements DiskMessage {
        public DiskZeroes {
            requireDisk("DISK_ZEROES disk", disk);
            require(
                    bytes >= 1 && bytes <= DISK_BYTES_MAX,
                    "DISK_ZEROES bytes",
                    "1.." + DISK_BYTES_MAX,
                    bytes);
            requireWithin("DISK_ZEROES offset", offset, bytes);
        }
    }

    /**
     * Every write of {@code epoch} was sent.
     *
     * @param records DISK_WRITE and DISK_ZEROES since the boundary before
     * @param bytes that they wrote, zeroes included
     */
    record DiskBoundary(long epoch, long records, long bytes) implements DiskMessage {
        public DiskBoundary {
            requireEpoch("DISK_BOUNDARY epoch", epoch);
            require(records >= 0, "DISK_BOUNDARY records", "no negative number", records);
            require(bytes >= 0, "DISK_BOUNDARY bytes", "no negative number", bytes);
        }
    }

    /** What is asked about a session that the asker does not know the end of. */
    enum Question {
        /** What became of the replica? Nothing is changed. */
        STANDING,
        /** Discard the replica unless it has been taken over, then say what became of it. */
        DISMISS
    }

    /** Asks about a session. */
    record Inquire(UUID session, Question question) implements Inquiry {}

    /**
     * The answer.
     *
     * @param generation the survivor's where there is one. Of a session that is undecided: 0 where
     *     it is in force, and about to be decided by itself; else it is left to a person, and this
     *     is the generation that a copy there may have, 1 at least
     */
    record Answer(Standing standing, long generation, String text) implements Inquiry {
        public Answer {
            require(generation >= 0, "ANSWER generation", "no negative number", generation);
            requireText("ANSWER text", text, REASON_BYTES_MAX);
        }
    }

    /**
     * Asks the accepting node to take a domain over.
     *
     * @param generation the source's; the destination's is larger once it has the domain
     * @param memoryBytes main memory, a multiple of 4096
     * @param heartbeatMillis every such time each side sends HEARTBEAT
     * @param deadlineMillis silence of this length is a lost peer
     * @param connections BULK connections that follow
     * @param cookie what the source has and wants; the format is the nodes'
     */
    record OpenMigration(
            UUID migration,
            String domain,
            long generation,
            long memoryBytes,
            int heartbeatMillis,
            int deadlineMillis,
            int connections,
            Bytes cookie)
            implements ToDestination {
        public OpenMigration {
            requireText("OPEN_MIGRATION domain", domain, NAME_BYTES_MAX);
            require(generation >= 0, "OPEN_MIGRATION generation", "no negative number", generation);
            require(
                    memoryBytes > 0 && memoryBytes <= MEMORY_BYTES_MAX && memoryBytes % 4096 == 0,
                    "OPEN_MIGRATION memory bytes",
                    "a multiple of 4096 up to " + MEMORY_BYTES_MAX,
                    memoryBytes);
            require(
                    heartbeatMillis >= 1 && heartbeatMillis <= 60_000,
                    "OPEN_MIGRATION heartbeat",
                    "1..60000 ms",
                    heartbeatMillis);
            require(
                    deadlineMillis >= 2L * heartbeatMillis && deadlineMillis <= 600_000,
                    "OPEN_MIGRATION deadline",
                    "from two heartbeats to 600000 ms",
                    deadlineMillis);
            require(
                    connections >= 1 && connections <= MIGRATION_CONNECTIONS_MAX,
                    "OPEN_MIGRATION connections",
                    "1.." + MIGRATION_CONNECTIONS_MAX,
                    connections);
            requireCookie("OPEN_MIGRATION cookie", cookie);
        }
    }

    /**
     * The domain may come, and this is what must travel besides memory. In place of
     * SESSION_ACCEPTED, to a source whose OPEN_MIGRATION says that it can send disks.
     */
    record MigrationAccepted(Bytes cookie) implements ToSource {
        public MigrationAccepted {
            requireCookie("MIGRATION_ACCEPTED cookie", cookie);
        }
    }

    /** The destination's hypervisor waits, stopped, and this is what it found. */
    record MigrationPrepared(Bytes cookie) implements ToSource {
        public MigrationPrepared {
            requireCookie("MIGRATION_PREPARED cookie", cookie);
        }
    }

    /** What one BULK connection carried: so many bytes with this checksum. */
    record StreamDigest(long streamBytes, int crc32c) {
        public StreamDigest {
            require(
                    streamBytes >= 0,
                    "MIGRATION_PERFORMED stream bytes",
                    "no negative number",
                    streamBytes);
        }
    }

    /**
     * The guest is suspended and everything was written.
     *
     * @param streams one for each BULK connection, in their order
     */
    record MigrationPerformed(List<StreamDigest> streams, Bytes cookie) implements ToDestination {
        public MigrationPerformed {
            streams = List.copyOf(streams);
            require(
                    !streams.isEmpty() && streams.size() <= MIGRATION_CONNECTIONS_MAX,
                    "MIGRATION_PERFORMED streams",
                    "1.." + MIGRATION_CONNECTIONS_MAX,
                    streams.size());
            requireCookie("MIGRATION_PERFORMED cookie", cookie);
        }
    }

    /** The state is loaded and every required feature is up: the source may hand over. */
    record MigrationFinished(Bytes cookie) implements ToSource {
        public MigrationFinished {
            requireCookie("MIGRATION_FINISHED cookie", cookie);
        }
    }

    /** The domain is the destination's from here on, with this generation. */
    record HandOver(long generation) implements ToDestination {
        public HandOver {
            require(generation >= 1, "HAND_OVER generation", "1 or more", generation);
        }
    }

    /** The guest runs on the destination. */
    record TakenOver(Bytes cookie) implements ToSource {
        public TakenOver {
            requireCookie("TAKEN_OVER cookie", cookie);
        }
    }

    /** Take everything down and discard the copy, unless it was handed over. */
    record CancelMigration(String reason) implements ToDestination {
        public CancelMigration {
            requireText("CANCEL_MIGRATION reason", reason, REASON_BYTES_MAX);
        }
    }

    /** The destination's copy is discarded; it never ran. */
    record RolledBack(Bytes cookie) implements ToSource {
        public RolledBack {
            requireCookie("ROLLED_BACK cookie", cookie);
        }
    }

    /** {@code text}, cut at a character's border so that it fits a reason. */
    static String clip(String text) {
        if (text.getBytes(StandardCharsets.UTF_8).length <= REASON_BYTES_MAX) {
            return text;
        }
        // At most three bytes a char: surrogate pairs take four for two.
        int end = REASON_BYTES_MAX / 3;
        return text.substring(0, Character.isHighSurrogate(text.charAt(end - 1)) ? end - 1 : end);
    }

    private static void requireCookie(String field, Bytes cookie) {
        require(
                cookie.size() <= COOKIE_BYTES_MAX,
                field,
                "at most " + COOKIE_BYTES_MAX + " bytes",
                cookie.size());
    }

    private static void requireVersion(String field, int version) {
        require(version >= 1 && version <= 0xFFFF, field, "1..65535", version);
    }

    private static void requireEpoch(String field, long epoch) {
        require(epoch >= 0, field, "no negative number", epoch);
    }

    private static void requireDisk(String field, int disk) {
        require(disk >= 0 && disk <= 0xFFFF, field, "0..65535", disk);
    }

    private static void requireWithin(String field, long offset, long bytes) {
        require(
                offset >= 0 && offset <= DISK_BYTES_MAX - bytes,
                field,
                "0.." + (DISK_BYTES_MAX - bytes) + " for " + bytes + " bytes",
                offset);
    }

    private static void requireText(String field, String text, int bytesMax) {
        int bytes = text.getBytes(StandardCharsets.UTF_8).length;
        require(bytes <= bytesMax, field, "at most " + bytesMax + " bytes of UTF-8", bytes);
    }

    private static void require(boolean legal, String field, String expected, long found) {
        if (!legal) {
            throw new IllegalMessageException(field, expected, Long.toString(found));
        }
    }
}
