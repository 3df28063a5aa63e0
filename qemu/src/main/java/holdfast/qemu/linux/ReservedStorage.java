package holdfast.qemu.linux;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/**
 * Storage of files that are mapped. On a memory file system, touching a page that the file does not
 * have yet and the file system has no room for is a SIGBUS: the end of the process that touches it,
 * be it a guest's QEMU or this one, and even by reading. So all storage is reserved beforehand, and
 * a lack shows as an error that can be told.
 */
public final class ReservedStorage {
    /** A signal may interrupt a reservation, which then begins anew; a profiler sends many. */
    private static final int TRIES_MAX = 100;

    private ReservedStorage() {}

    /**
     * Makes a file of zeros that its owner alone may read.
     *
     * @param what is made, for messages
     * @throws HypervisorException if it exists or there is no room; nothing is left behind
     */
    public static void create(String what, Path path, long bytes) {
        make(what, path, bytes);
        try {
            reserve(what, path, bytes);
        } catch (RuntimeException e) {
            try {
                Files.deleteIfExists(path);
            } catch (IOException left) {
                e.addSuppressed(left);
            }
            throw e;
        }
    }

    /**
     * As {@link #create}, with its size but without its storage: {@link #reserve} must follow
     * before anything relies on it.
     *
     * @throws HypervisorException if it exists or there is no room by now; nothing is left behind
     */
    public static void createSparse(String what, Path path, long bytes) {
        make(what, path, bytes);
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.allocate(1), bytes - 1);
        } catch (IOException e) {
            HypervisorException failure = new HypervisorException(what, path + ": " + e, e);
            try {
                Files.deleteIfExists(path);
            } catch (IOException left) {
                failure.addSuppressed(left);
            }
            throw failure;
        }
    }

    private static void make(String what, Path path, long bytes) {
        try {
            requireRoom(what, path, bytes);
            FileChannel.open(
                            path,
                            Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                            PosixFilePermissions.asFileAttribute(
                                    PosixFilePermissions.fromString("rw-------")))
                    .close();
        } catch (FileAlreadyExistsException e) {
            throw new HypervisorException(
                    what,
                    path + " exists already; if no QEMU uses it (fuser " + path + "), remove it",
                    e);
        } catch (IOException e) {
            throw new HypervisorException(what, path + ": " + e, e);
        }
    }

    /**
     * Reserves the first {@code bytes} of a file, which grows where it is shorter; what it holds
     * stays.
     *
     * @param what is wanted, for messages
     * @throws HypervisorException if there is no room
     */
    public static void reserve(String what, Path path, long bytes) {
        try {
            int fd = Syscalls.open(path, Syscalls.O_RDWR | Syscalls.O_CLOEXEC);
            try {
                allocate(fd, bytes);
            } finally {
                Syscalls.close(fd);
            }
        } catch (SystemCallException e) {
            switch (e.errno()) {
                case Errno.ENOSPC -> throw tooSmall(what, path, bytes, e);
                // A file system that cannot reserve: nothing more can be made sure of.
                case Errno.EOPNOTSUPP -> {}
                default -> throw new HypervisorException(what, path + ": " + e.getMessage(), e);
            }
        }
    }

    private static void allocate(int fd, long bytes) {
        for (int i = 1; ; i++) {
            try {
                Syscalls.fallocate(fd, bytes);
                return;
            } catch (SystemCallException e) {
                if (e.errno() != Errno.EINTR || i == TRIES_MAX) {
                    throw e;
                }
            }
        }
    }

    /** Also for file systems that cannot reserve; and a file far too large takes no room first. */
    private static void requireRoom(String what, Path path, long bytes) throws IOException {
        if (usable(path) < bytes) {
            throw tooSmall(what, path, bytes, null);
        }
    }

    private static long usable(Path path) throws IOException {
        return Files.getFileStore(path.toAbsolutePath().getParent()).getUsableSpace();
    }

    private static HypervisorException tooSmall(
            String what, Path path, long bytes, Throwable cause) {
        Path directory = path.toAbsolutePath().getParent();
        try {
            long usable = usable(path);
            // What a sparse file holds already is not counted: it may be less that is missing.
            long missing = Math.max(1, (bytes - usable + (1 << 20) - 1) >> 20);
            return new HypervisorException(
                    what,
                    "%s needs %d MiB, the file system of %s has %d MiB free, up to %d MiB are missing; free some, or enlarge it (mount -o remount,size=... %s)"
                            .formatted(
                                    path,
                                    (bytes + (1 << 20) - 1) >> 20,
                                    directory,
                                    usable >> 20,
                                    missing,
                                    directory),
                    cause);
        } catch (IOException e) {
            return new HypervisorException(what, path + ": " + e, e);
        }
    }
}
