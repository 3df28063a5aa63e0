package holdfast.node;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;

import holdfast.node.store.FileSteps;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * What this node knows about the sessions it took part in, so that the other node can still ask
 * after both daemons were killed. One file each, forced to the disk before what it says happens; a
 * take-over in a guest's pause is noted in memory first, see {@link #take}. The newest {@value
 * #ENTRIES_MAX} and every undecided one are kept, some more for a while.
 */
final class SessionLedger {
    static final int ENTRIES_MAX = 1000;

    private static final Logger LOG = LoggerFactory.getLogger(SessionLedger.class);
    private static final ObjectMapper JSON = JsonMapper.builder().build();
    private static final String SUFFIX = ".json";
    private static final String STAGED = ".staged";

    /** What this node was in a session. */
    enum Side {
        PRIMARY,
        SECONDARY
    }

    /**
     * @param standing what became of the replica, as far as this node knows
     * @param generation the survivor's for {@link Standing#TOOK_OVER}, else the primary's
     * @param peer the other node, {@code host:port} on a primary, its name on a secondary
     * @param intervalMillis of the session, for people
     */
    record Entry(
            UUID session,
            String domain,
            Side side,
            Standing standing,
            long generation,
            String peer,
            String arbiter,
            int intervalMillis) {
        Entry with(Standing changed, long newGeneration) {
            return new Entry(
                    session, domain, side, changed, newGeneration, peer, arbiter, intervalMillis);
        }
    }

    private static final int PUTS_PER_PRUNE = 100;

    private final Path directory;
    private final Path takenDirectory;
    private final FileSteps steps;
    private final Set<UUID> onlyTaken = new HashSet<>();
    private int putsUntilPrune;

    /**
     * @param directory on a disk
     * @param takenDirectory which outlives the daemon; best in a memory file system
     */
    SessionLedger(Path directory, Path takenDirectory) throws IOException {
        this(directory, takenDirectory, FileSteps.REAL);
    }

    SessionLedger(Path directory, Path takenDirectory, FileSteps steps) throws IOException {
        this.directory = directory;
        this.takenDirectory = takenDirectory;
        this.steps = steps;
        Files.createDirectories(directory);
        Files.createDirectories(takenDirectory);
        commitTaken();
        removeOrphans();
        prune();
    }

    /**
     * A session that is known already can be put on a full disk, too.
     *
     * @throws UncheckedIOException if it cannot be made durable; then what it says must not happen
     */
    synchronized void put(Entry entry) {
        Path file = file(entry.session());
        try {
            putBeside(entry, file);
            if (entry.standing() != Standing.UNDECIDED) {
                forgetStaged(entry);
            }
            putsUntilPrune--;
            if (putsUntilPrune == 0) {
                tryPrune();
            }
        } catch (IOException e) {
            try {
                putInPlace(entry, file);
                LOG.warn(
                        "event=remembered-in-place session={} reason=\"{}\" next=\"make room in"
                                + " {}\"",
                        entry.session(),
                        e.getMessage(),
                        directory);
            } catch (IOException alsoFailed) {
                e.addSuppressed(alsoFailed);
                throw new UncheckedIOException(
                        "cannot remember session "
                                + entry.session()
                                + " in "
                                + file
                                + ": "
                                + e.getMessage()
                                + "; make room there",
                        e);
            }
        }
    }

    private void tryPrune() {
        try {
            prune();
        } catch (IOException e) {
            LOG.warn("event=not-pruned directory={} reason=\"{}\"", directory, e.getMessage());
        }
    }

    private void putBeside(Entry entry, Path file) throws IOException {
        Path beside = directory.resolve(entry.session() + ".new");
        try {
            write(beside, entry);
            rename(beside, file);
        } finally {
            Files.deleteIfExists(beside);
        }
    }

    /**
     * Into the room that the older entry has. A crash in the middle leaves what nobody can read:
     * the session is then unknown, and whoever asks after an unknown one waits for a person.
     */
    private static void putInPlace(Entry entry, Path file) throws IOException {
        byte[] content = JSON.writeValueAsBytes(entry);
        try (FileChannel out = FileChannel.open(file, StandardOpenOption.WRITE)) {
            byte[] padded =
                    Arrays.copyOf(content, Math.max(content.length, Math.toIntExact(out.size())));
            Arrays.fill(padded, content.length, padded.length, (byte) ' ');
            ByteBuffer bytes = ByteBuffer.wrap(padded);
            while (bytes.hasRemaining()) {
                out.write(bytes);
            }
            out.force(true);
        }
    }

    /**
     * Forgets a session that never was: one of both nodes did not open it. Otherwise it would be
     * kept for ever, as one that is undecided.
     */
    synchronized void remove(UUID session) {
        Path file = file(session);
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            LOG.warn("event=not-forgotten session={} reason=\"{}\"", session, e.getMessage());
        }
    }

    /** An entry that is on the disk, and holds from {@link #take} or {@link #commit} on. */
    record Staged(UUID session, Path beside, Path file, Path taken) {}

    /**
     * Writes an entry down ahead of the moment from which it holds. A host that dies after this
     * leaves it open whether it came to hold, until {@link #commit} or {@link #unstage}; a daemon
     * that dies does not.
     *
     * @throws UncheckedIOException if it cannot be made durable
     */
    synchronized Staged stage(Entry entry) {
        UUID session = entry.session();
        Staged staged =
                new Staged(
                        session,
                        staged(session),
                        file(session),
                        takenDirectory.resolve(session.toString()));
        try {
            write(staged.beside(), entry);
            steps.forceDirectory(directory);
            return staged;
        } catch (IOException e) {
            throw unwritten(staged, e);
        }
    }

    /** Whether an undecided session may have been decided just before the host died. */
    synchronized boolean isStaged(Entry entry) {
        return entry.standing() == Standing.UNDECIDED && Files.exists(staged(entry.session()));
    }

    /**
     * From the return on the entry holds, whatever process dies. Waits for no disk, nor for another
     * session that does; {@link #commit} is to follow.
     *
     * @throws UncheckedIOException if it does not; then what it says must not happen
     */
    void take(Staged staged) {
        try {
            Files.createFile(staged.taken());
        } catch (IOException e) {
            throw unwritten(staged, e);
        }
    }

    /**
     * From the return on the entry holds, whatever dies.
     *
     * @throws UncheckedIOException if it cannot be made durable; then what it says must not happen,
     *     unless it was taken
     */
    synchronized void commit(Staged staged) {
        try {
            rename(staged.beside(), staged.file());
            Files.deleteIfExists(staged.taken());
        } catch (IOException e) {
            throw unwritten(staged, e);
        }
    }

    /**
     * What was staged does not hold, whether it was taken or not. To be called before another end
     * is written down: a daemon that dies in between has the session undecided.
     *
     * @throws UncheckedIOException if it may hold still
     */
    synchronized void unstage(Staged staged) {
        try {
            Files.deleteIfExists(staged.taken());
        } catch (IOException e) {
            throw new UncheckedIOException("cannot remove " + staged.taken(), e);
        }
    }

    private void forgetStaged(Entry decided) {
        Path left = staged(decided.session());
        try {
            Files.deleteIfExists(left);
        } catch (IOException e) {
            LOG.warn("event=left-behind what={} reason=\"{}\"", left, e.getMessage());
        }
    }

    /**
     * Whether a daemon had taken it that died before it was on the disk: it may have died before
     * what the entry says had happened.
     */
    synchronized boolean wasOnlyTaken(UUID session) {
        return onlyTaken.contains(session);
    }

    /**
     * What a daemon took that died, or could not write, before it was on the disk. Where it can
     * still not be written the mark stays, and the entry holds all the same: a guest that runs here
     * is not given back for that.
     */
    private void commitTaken() throws IOException {
        try (Stream<Path> files = Files.list(takenDirectory)) {
            for (Path taken : files.toList()) {
                Path staged = directory.resolve(taken.getFileName() + STAGED);
                if (!Files.exists(staged)) {
                    Files.delete(taken);
                    continue;
                }
                UUID session = UUID.fromString(taken.getFileName().toString());
                onlyTaken.add(session);
                try {
                    rename(staged, file(session));
                    Files.delete(taken);
                } catch (IOException e) {
                    LOG.error(
                            "event=take-over-not-on-disk session={} reason=\"{}\" next=\"mend {}"
                                    + " and start the daemon again before this host is\"",
                            session,
                            e.toString(),
                            directory);
                }
            }
        }
    }

    /** What was staged for a session that was never written down, or is decided. */
    private void removeOrphans() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.filter(f -> f.toString().endsWith(STAGED)).toList()) {
                String name = file.getFileName().toString();
                String session = name.substring(0, name.length() - STAGED.length());
                boolean taken = Files.exists(takenDirectory.resolve(session));
                if (!taken
                        && read(directory.resolve(session + SUFFIX))
                                .filter(this::isStaged)
                                .isEmpty()) {
                    Files.delete(file);
                }
            }
        }
    }

    private void write(Path file, Entry entry) throws IOException {
        steps.write(file, JSON.writeValueAsBytes(entry));
    }

    private void rename(Path beside, Path file) throws IOException {
        steps.rename(beside, file);
        steps.forceDirectory(directory);
    }

    private static UncheckedIOException unwritten(Staged staged, IOException e) {
        return new UncheckedIOException(
                "cannot remember session "
                        + staged.session()
                        + " in "
                        + staged.file()
                        + ": "
                        + e.getMessage()
                        + "; make room there",
                e);
    }

    synchronized Optional<Entry> get(UUID session) {
        boolean taken =
                Files.exists(takenDirectory.resolve(session.toString()))
                        && Files.exists(staged(session));
        return read(taken ? staged(session) : file(session));
    }

    private Path file(UUID session) {
        return directory.resolve(session + SUFFIX);
    }

    private Path staged(UUID session) {
        return directory.resolve(session + STAGED);
    }

    /** The newest session of a domain in which this node was the primary. */
    synchronized Optional<Entry> newestAsPrimary(String domain) {
        return newest(domain, Side.PRIMARY);
    }

    /** The newest session of a domain in which this node held the replica. */
    synchronized Optional<Entry> newestAsSecondary(String domain) {
        return newest(domain, Side.SECONDARY);
    }

    private Optional<Entry> newest(String domain, Side side) {
        for (Path file : newestFirst()) {
            Optional<Entry> entry = effective(file);
            if (entry.isPresent()
                    && entry.get().side() == side
                    && entry.get().domain().equals(domain)) {
                return entry;
            }
        }
        return Optional.empty();
    }

    /** What holds of a session by its file, which another one may have replaced for now. */
    private Optional<Entry> effective(Path file) {
        String name = file.getFileName().toString();
        try {
            return get(UUID.fromString(name.substring(0, name.length() - SUFFIX.length())));
        } catch (IllegalArgumentException e) {
            LOG.warn("event=session-unreadable file={} reason=\"no session's name\"", file);
            return Optional.empty();
        }
    }

    private Optional<Entry> read(Path file) {
        if (!Files.exists(file)) {
            return Optional.empty();
        }
        try {
            return Optional.of(JSON.readValue(file.toFile(), Entry.class));
        } catch (IOException e) {
            LOG.warn("event=session-unreadable file={} reason=\"{}\"", file, e.getMessage());
            return Optional.empty();
        }
    }

    private List<Path> newestFirst() {
        try (Stream<Path> files = Files.list(directory)) {
            record Dated(Path file, long millis) {}
            List<Dated> dated = new ArrayList<>();
            for (Path file : files.filter(f -> f.toString().endsWith(SUFFIX)).toList()) {
                dated.add(new Dated(file, Files.getLastModifiedTime(file).toMillis()));
            }
            dated.sort(Comparator.comparingLong(Dated::millis).reversed());
            return dated.stream().map(Dated::file).toList();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + directory, e);
        }
    }

    /** What is not decided stays, however old: a daemon that is started must ask about it. */
    private void prune() throws IOException {
        putsUntilPrune = PUTS_PER_PRUNE;
        List<Path> files = newestFirst();
        for (int i = ENTRIES_MAX; i < files.size(); i++) {
            boolean decided =
                    read(files.get(i))
                            .filter(entry -> entry.standing() == Standing.UNDECIDED)
                            .isEmpty();
            if (decided) {
                Files.deleteIfExists(files.get(i));
            }
        }
    }
}
