package holdfast.qemu.memory;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.GuestMemory;
import holdfast.qemu.linux.Errno;
import holdfast.qemu.linux.FileIdentity;
import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/**
 * A RAM file, mapped shared and writable into this process. Any thread may use it; the one that
 * closes it makes sure that no other still does.
 */
public final class MappedMemory implements GuestMemory, AutoCloseable {
    private final Path path;
    private final FileIdentity file;
    private final Arena arena;
    private final MemorySegment bytes;

    private MappedMemory(Path path, FileIdentity file, Arena arena, MemorySegment bytes) {
        this.path = path;
        this.file = file;
        this.arena = arena;
        this.bytes = bytes;
    }

    /**
     * Maps the RAM file of a QEMU.
     *
     * @param bytes the size of guest memory, a multiple of the page size; the file must have
     *     exactly this size
     */
    public static MappedMemory open(Path path, long bytes) {
        checkSize(bytes);
        try (FileChannel channel =
                FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            if (channel.size() != bytes) {
                throw new HypervisorException(
                        "map RAM file",
                        "%s has %d bytes, expected %d: is it the mem-path of this domain, and is the memory size right?"
                                .formatted(path, channel.size(), bytes));
            }
            return map(path, channel, bytes);
        } catch (NoSuchFileException e) {
            throw new HypervisorException(
                    "map RAM file",
                    path
                            + " does not exist; QEMU must run with -object"
                            + " memory-backend-file,mem-path="
                            + path
                            + ",share=on",
                    e);
        } catch (IOException e) {
            throw new HypervisorException("map RAM file", path + ": " + e, e);
        }
    }

    /**
     * Creates a RAM file of zeros, for a replica, with all its storage reserved: on a memory file
     * system a write beyond what it can hold would be a SIGBUS, the end of this process, so a lack
     * must show here. Its owner alone may read it.
     */
    public static MappedMemory create(Path path, long bytes) {
        checkSize(bytes);
        Path directory = path.toAbsolutePath().getParent();
        try {
            long usable = Files.getFileStore(directory).getUsableSpace();
            if (usable < bytes) {
                throw tooSmall(path, directory, bytes, usable, null);
            }
            try (FileChannel channel =
                    FileChannel.open(
                            path,
                            Set.of(
                                    StandardOpenOption.CREATE_NEW,
                                    StandardOpenOption.READ,
                                    StandardOpenOption.WRITE),
                            PosixFilePermissions.asFileAttribute(
                                    PosixFilePermissions.fromString("rw-------")))) {
                return fill(path, directory, channel, bytes);
            }
        } catch (FileAlreadyExistsException e) {
            throw new HypervisorException(
                    "create RAM file",
                    path + " exists already; if no QEMU uses it (fuser " + path + "), remove it",
                    e);
        } catch (IOException e) {
            throw new HypervisorException("create RAM file", path + ": " + e, e);
        }
    }

    private static MappedMemory fill(Path path, Path directory, FileChannel channel, long bytes)
            throws IOException {
        try {
            reserve(path, directory, bytes);
            return map(path, channel, bytes);
        } catch (RuntimeException | IOException | Error e) {
            try {
                Files.deleteIfExists(path);
            } catch (IOException left) {
                e.addSuppressed(left);
            }
            throw e;
        }
    }

    private static void reserve(Path path, Path directory, long bytes) throws IOException {
        int fd = Syscalls.open(path, Syscalls.O_RDWR | Syscalls.O_CLOEXEC);
        try {
            Syscalls.fallocate(fd, bytes);
        } catch (SystemCallException e) {
            if (e.errno() == Errno.ENOSPC) {
                long usable = Files.getFileStore(directory).getUsableSpace();
                throw tooSmall(path, directory, bytes, usable, e);
            }
            if (e.errno() != Errno.EOPNOTSUPP) {
                throw new HypervisorException("create RAM file", path + ": " + e.getMessage(), e);
            }
            // A file system that cannot reserve: the free space looked at before is all the
            // assurance there is.
        } finally {
            Syscalls.close(fd);
        }
    }

    private static HypervisorException tooSmall(
            Path path, Path directory, long bytes, long usable, Throwable cause) {
        long missing = Math.max(1, (bytes - usable + (1 << 20) - 1) >> 20);
        return new HypervisorException(
                "create RAM file",
                "%s needs %d MiB, the file system of %s has %d MiB free, %d MiB are missing; free some, or enlarge it (mount -o remount,size=... %s)"
                        .formatted(path, bytes >> 20, directory, usable >> 20, missing, directory),
                cause);
    }

    private static MappedMemory map(Path path, FileChannel channel, long bytes) throws IOException {
        FileIdentity file = FileIdentity.of(path);
        Arena arena = Arena.ofShared();
        try {
            MemorySegment segment = channel.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
            return new MappedMemory(path, file, arena, segment);
        } catch (IOException | RuntimeException | Error e) {
            arena.close();
            throw e;
        }
    }

    private static void checkSize(long bytes) {
        if (bytes <= 0 || bytes % PAGE_BYTES != 0) {
            throw new IllegalArgumentException(
                    "memory of " + bytes + " bytes is not a positive multiple of " + PAGE_BYTES);
        }
    }

    /** The path it was opened by. */
    public Path path() {
        return path;
    }

    /** Which file it is, as {@code /proc/PID/maps} shows it. */
    FileIdentity file() {
        return file;
    }

    @Override
    public long pages() {
        return bytes.byteSize() / PAGE_BYTES;
    }

    @Override
    public MemorySegment bytes() {
        return bytes;
    }

    /**
     * Removes the file's name; memory already mapped, here and elsewhere, lives on. Nothing happens
     * if it is gone.
     */
    public void deleteFile() {
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            throw new HypervisorException("delete RAM file", path + ": " + e, e);
        }
    }

    /** Unmaps. */
    @Override
    public void close() {
        arena.close();
    }
}
