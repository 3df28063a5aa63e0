package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.stream.Stream;

/**
 * What a QEMU must reach of ours, which may run as another user than this daemon, as libvirt starts
 * it: a directory that belongs to its user, closed to all others, and sockets in it.
 */
public final class ReachableFiles {
    private static final String STEP = "attach";
    private static final String USER = "unix:uid";
    private static final String USERS = "Uid:";

    private ReachableFiles() {}

    /**
     * Makes a directory, or takes one that is there: the process may use it, and so may we where we
     * are root or the same user.
     *
     * @throws HypervisorException if it cannot be made so
     */
    public static void makeDirectory(Path directory, ProcessIdentity process) {
        try {
            Files.createDirectories(directory);
            Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx------"));
            int user = user(process);
            if (!Files.getAttribute(directory, USER).equals(user)) {
                Files.setAttribute(directory, USER, user);
            }
        } catch (IOException e) {
            throw new HypervisorException(
                    STEP,
                    "cannot make "
                            + directory
                            + " a directory of the user of process "
                            + process.pid()
                            + "; run as root or as that user",
                    e);
        }
    }

    /** Whoever may enter its directory may connect to a socket of ours. */
    public static void openTo(Path socket) throws IOException {
        Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-rw-rw-"));
    }

    /** The user whose rights it has when it opens a file: proc(5), {@code status}. */
    private static int user(ProcessIdentity process) throws IOException {
        Path status = Path.of("/proc", Long.toString(process.pid()), "status");
        try (Stream<String> lines = Files.lines(status)) {
            return lines.filter(line -> line.startsWith(USERS))
                    .map(line -> Integer.parseInt(line.split("\\s+")[4]))
                    .findFirst()
                    .orElseThrow(() -> new IOException(status + " has no line " + USERS));
        }
    }
}
