package holdfast.qemu.memory;

import holdfast.engine.HypervisorException;
import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.GuestMemory;
import holdfast.qemu.linux.FileIdentity;
import holdfast.qemu.linux.ReservedStorage;
import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A RAM file, mapped shared and writable into this process. Any thread may use it; the one that
 * closes it makes sure that no other still does.
 */
public final class MappedMemory implements GuestMemory, AutoCloseable {
    private static final String CREATE = "create RAM file";

    private final Path path;
    private final FileIdentity file;
    private final FileChannel channel;
    private final Arena arena;
    private final MemorySegment bytes;

    private MappedMemory(
            Path path, FileIdentity file, FileChannel channel, Arena arena, MemorySegment bytes) {
        this.path = path;
        this.file = file;
        this.channel = channel;
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
        try {
            FileChannel channel =
                    FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
            try {
                if (channel.size() != bytes) {
                    throw new HypervisorException(
                            "map RAM file",
                            "%s has %d bytes, expected %d: is it the mem-path of this domain, and is the memory size right?"
                                    .formatted(path, channel.size(), bytes));
                }
                return map(path, channel, bytes);
            } catch (IOException | RuntimeException | Error e) {
                channel.close();
                throw e;
            }
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
     * Maps the RAM file of a QEMU that somebody else may have started, and reserves the pages its
     * guest has not touched yet: reading them would take room that may not be there.
     */
    public static MappedMemory openReserved(Path path, long bytes) {
        MappedMemory memory = open(path, bytes);
        try {
            ReservedStorage.reserve("reserve RAM file", path, bytes);
            return memory;
        } catch (RuntimeException e) {
            memory.close();
            throw e;
        }
    }

    /**
     * Creates a RAM file of zeros, for a replica, with all its storage reserved. Its owner alone
     * may read it.
     */
    public static MappedMemory create(Path path, long bytes) {
        checkSize(bytes);
        ReservedStorage.create(CREATE, path, bytes);
        return openMade(path, bytes);
    }

    /**
     * As {@link #create}, for a memory that fills while its storage is still being reserved: {@link
     * #reserve} must have returned before a guest relies on it. A page that finds no room before is
     * a fault of whoever writes it.
     */
    public static MappedMemory createUnreserved(Path path, long bytes) {
        checkSize(bytes);
        ReservedStorage.createSparse(CREATE, path, bytes);
        return openMade(path, bytes);
    }

    /**
     * Reserves what is not there yet; what was written stays. Any thread, as long as nobody closes
     * this.
     *
     * @throws HypervisorException if there is no room
     */
    public void reserve() {
        ReservedStorage.reserve(CREATE, path, bytes.byteSize());
    }

    private static MappedMemory openMade(Path path, long bytes) {
        try {
            return open(path, bytes);
        } catch (RuntimeException | Error e) {
            try {
                Files.deleteIfExists(path);
            } catch (IOException left) {
                e.addSuppressed(left);
            }
            throw e;
        }
    }

    private static MappedMemory map(Path path, FileChannel channel, long bytes) throws IOException {
        FileIdentity file = FileIdentity.of(path);
        Arena arena = Arena.ofShared();
        try {
            MemorySegment segment = channel.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
            return new MappedMemory(path, file, channel, arena, segment);
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

    /** Asks the file, which knows what was never written. */
    @Override
    public void addPopulated(PfnSet into) {
        int fd = Syscalls.open(path, Syscalls.O_RDONLY | Syscalls.O_CLOEXEC);
        try {
            long end = bytes.byteSize();
            long data = Syscalls.seek(fd, 0, Syscalls.Seek.DATA);
            while (data >= 0 && data < end) {
                long hole = Syscalls.seek(fd, data, Syscalls.Seek.HOLE);
                if (hole < 0) {
                    hole = end;
                }
                into.addRun(
                        data / PAGE_BYTES, Math.min(pages(), (hole + PAGE_BYTES - 1) / PAGE_BYTES));
                data = Syscalls.seek(fd, hole, Syscalls.Seek.DATA);
            }
        } catch (SystemCallException e) {
            // A file system that does not know: every page may hold something.
            into.fill();
        } finally {
            Syscalls.close(fd);
        }
    }

    /** Through the file: a page that was never touched costs no fault and need not be cleared. */
    @Override
    public void write(long firstPfn, int count, MemorySegment source, long offset) {
        ByteBuffer pages = source.asSlice(offset, (long) count * PAGE_BYTES).asByteBuffer();
        long at = firstPfn * PAGE_BYTES;
        try {
            while (pages.hasRemaining()) {
                at += channel.write(pages, at);
            }
        } catch (IOException e) {
            throw new HypervisorException("write RAM file", path + ": " + e.getMessage(), e);
        }
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
        try {
            channel.close();
        } catch (IOException e) {
            throw new HypervisorException("close RAM file", path + ": " + e.getMessage(), e);
        }
    }
}
