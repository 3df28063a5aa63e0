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
 * @param path absolute; need not exist until {@link #create}
 */
public record StateDirectory(Path path) {
    /** Names the directory where no option does. */
    public static final String VARIABLE = "HOLDFAST_STATE_DIR";

    public StateDirectory {
        path = path.toAbsolutePath().normalize();
    }

    /**
     * The option, else {@value #VARIABLE}, else {@code /run/holdfast} for root, else {@code
     * $XDG_RUNTIME_DIR/holdfast}, else {@code /tmp/holdfast-USER}.
     *
     * @param environment of this process
     */
    public static StateDirectory choose(
            Optional<Path> option, String user, Map<String, String> environment) {
        if (option.isPresent()) {
            return new StateDirectory(option.get());
        }
        String variable = environment.getOrDefault(VARIABLE, "");
        if (!variable.isBlank()) {
            return new StateDirectory(Path.of(variable));
        }
        if (user.equals("root")) {
            return new StateDirectory(Path.of("/run/holdfast"));
        }
        String runtime = environment.getOrDefault("XDG_RUNTIME_DIR", "");
        return new StateDirectory(
                runtime.isBlank()
                        ? Path.of("/tmp", "holdfast-" + user)
                        : Path.of(runtime, "holdfast"));
    }

    public Path socket() {
        return path.resolve("api.sock");
    }

    public Path log() {
        return path.resolve("holdfastd.log");
    }

    public Path domains() {
        return path.resolve("domains");
    }

    /** Makes the directory, its owner's alone. One that exists is left as it is. */
    public void create() {
        try {
            if (!Files.isDirectory(path)) {
                if (path.getParent() != null) {
                    Files.createDirectories(path.getParent());
                }
                makeOwners(path);
            }
            String owner = Files.getOwner(path).getName();
            if (!owner.equals(System.getProperty("user.name"))) {
                throw new StoreException(
                        "the state directory " + path + " belongs to " + owner,
                        null,
                        "choose another with --state-dir");
            }
            makeOwners(domains());
        } catch (IOException e) {
            throw new StoreException(
                    "cannot make the state directory " + path,
                    e,
                    "choose another with --state-dir");
        }
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
