package holdfast.node.store;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.Optional;

/**
 * Where a daemon keeps its state, and the names in it.
 *
 * @param path what outlives the host: descriptions, who owns what, journals. Absolute; need not
 *     exist until {@link #create}
 * @param volatilePath what ends with the host: sockets. The same directory, or one that is empty
 *     after a start of the host
 */
public record StateDirectory(Path path, Path volatilePath) {
    /** Names the directory where no option does. */
    public static final String VARIABLE = "HOLDFAST_STATE_DIR";

    private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");

    public StateDirectory {
        path = path.toAbsolutePath().normalize();
        volatilePath = volatilePath.toAbsolutePath().normalize();
    }

    /** One directory for all of it. */
    public StateDirectory(Path path) {
        this(path, path);
    }

    /**
     * The option, else {@value #VARIABLE}: that directory for everything. Else {@code
     * /var/lib/holdfast} with the sockets in {@code /run/holdfast} for root, and for others {@code
     * $XDG_STATE_HOME/holdfast} or {@code ~/.local/state/holdfast} with the sockets in {@code
     * $XDG_RUNTIME_DIR/holdfast}; whoever lacks either has {@code /tmp/holdfast-USER} for it.
     *
     * @param environment of this process
     */
    public static StateDirectory choose(
            Optional<Path> option, String user, Map<String, String> environment) {
        if (option.isPresent()) {
            return new StateDirectory(option.get());
        }
        Optional<Path> variable = directory(environment, VARIABLE);
        if (variable.isPresent()) {
            return new StateDirectory(variable.get());
        }
        if (user.equals("root")) {
            return new StateDirectory(Path.of("/var/lib/holdfast"), Path.of("/run/holdfast"));
        }
        Path without = Path.of("/tmp", "holdfast-" + user);
        Optional<Path> state =
                directory(environment, "XDG_STATE_HOME")
                        .or(
                                () ->
                                        directory(environment, "HOME")
                                                .map(home -> home.resolve(".local/state")))
                        .map(home -> home.resolve("holdfast"));
        Optional<Path> runtime =
                directory(environment, "XDG_RUNTIME_DIR").map(home -> home.resolve("holdfast"));
        return new StateDirectory(state.orElse(without), runtime.orElse(without));
    }

    private static Optional<Path> directory(Map<String, String> environment, String variable) {
        return Optional.ofNullable(environment.get(variable))
                .filter(value -> !value.isBlank())
                .map(Path::of);
    }

    public Path socket() {
        return volatilePath.resolve("api.sock");
    }

    /** Where monitors and filters put their sockets. */
    public Path run() {
        return volatilePath.resolve("run");
    }

    public Path log() {
        return path.resolve("holdfastd.log");
    }

    public Path domains() {
        return path.resolve("domains");
    }

    /** Makes the directories, their owner's alone. One that exists is left as it is. */
    public void create() {
        create(path);
        create(volatilePath);
        create(domains());
        create(run());
    }

    private static void create(Path directory) {
        try {
            if (!Files.isDirectory(directory)) {
                if (directory.getParent() != null) {
                    Files.createDirectories(directory.getParent());
                }
                makeOwners(directory);
            }
            String owner = Files.getOwner(directory).getName();
            if (!owner.equals(System.getProperty("user.name"))) {
                throw new StoreException(
                        "the state directory " + directory + " belongs to " + owner,
                        null,
                        "choose another with --state-dir");
            }
        } catch (IOException e) {
            throw new StoreException(
                    "cannot make the state directory " + directory,
                    e,
                    "choose another with --state-dir");
        }
    }

    /**
     * Whether the host has been started anew since {@link #recordBoot}. No process that is written
     * down here exists then: one with its number and start time is another.
     *
     * @return false where nothing was recorded
     */
    public boolean hostRestarted() {
        try {
            return Files.exists(bootRecord())
                    && !Files.readString(bootRecord()).equals(Files.readString(BOOT_ID));
        } catch (IOException e) {
            throw new StoreException(
                    "cannot compare " + bootRecord() + " with " + BOOT_ID, e, "look at both files");
        }
    }

    /** When everything of before this start of the host has been dealt with. */
    public void recordBoot() {
        try {
            // Whole or not at all: half of one would look like that of another start.
            Path beside = path.resolve("boot-id.new");
            FileSteps.REAL.write(beside, Files.readAllBytes(BOOT_ID));
            FileSteps.REAL.rename(beside, bootRecord());
            FileSteps.REAL.forceDirectory(path);
        } catch (IOException e) {
            throw new StoreException("cannot write " + bootRecord(), e, "make room there");
        }
    }

    private Path bootRecord() {
        return path.resolve("boot-id");
    }

    private static void makeOwners(Path directory) throws IOException {
        try {
            Files.createDirectory(
                    directory,
                    PosixFilePermissions.asFileAttribute(
                            PosixFilePermissions.fromString("rwx------")));
        } catch (FileAlreadyExistsException e) {
            if (!Files.isDirectory(directory)) {
                throw e;
            }
        }
    }

    /** Keeps a second daemon away until it is closed. */
    public Held hold() {
        Path file = path.resolve("holdfastd.lock");
        try {
            FileChannel channel =
                    FileChannel.open(
                            file,
                            StandardOpenOption.CREATE,
                            StandardOpenOption.READ,
                            StandardOpenOption.WRITE);
            FileLock lock = tryLock(channel);
            if (lock == null) {
                String holder = Files.readString(file).strip();
                channel.close();
                throw new StoreException(
                        "a daemon (process "
                                + holder
                                + ") uses the state directory "
                                + path
                                + " already",
                        null,
                        "`holdfast node stop` ends it, --state-dir chooses another place");
            }
            channel.truncate(0);
            channel.write(
                    ByteBuffer.wrap(
                            (ProcessHandle.current().pid() + "\n")
                                    .getBytes(StandardCharsets.US_ASCII)));
            return new Held(channel);
        } catch (IOException e) {
            throw new StoreException(
                    "cannot lock " + file, e, "choose another directory with --state-dir");
        }
    }

    private static FileLock tryLock(FileChannel channel) throws IOException {
        try {
            return channel.tryLock();
        } catch (OverlappingFileLockException e) {
            // This very process holds it: to a caller that is no different from another daemon.
            return null;
        }
    }

    /** The right to use a state directory. The kernel gives it back when the process dies. */
    public static final class Held implements AutoCloseable {
        private final FileChannel channel;

        private Held(FileChannel channel) {
            this.channel = channel;
        }

        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                throw new StoreException(
                        "cannot give back the state directory's lock",
                        e,
                        "the end of the process will");
            }
        }
    }
}
