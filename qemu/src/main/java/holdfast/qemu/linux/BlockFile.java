package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * A raw disk image or block device: reading and writing with the error's number, and holes, which
 * Java's own channels have not. Any thread may call, several at once; the owner closes it when
 * nobody calls any more, for a descriptor's number is given to the next file that is opened.
 */
@SuppressWarnings("restricted")
public final class BlockFile implements AutoCloseable {
    // SAFETY: each descriptor below is the C prototype of its function on a 64-bit Linux. Segments
    // are checked to be native and long enough before a call.
    private static final MethodHandle PREAD =
            Syscalls.function(
                    "pread",
                    FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle PWRITE =
            Syscalls.function(
                    "pwrite",
                    FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle FDATASYNC =
            Syscalls.function("fdatasync", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle LSEEK =
            Syscalls.function(
                    "lseek", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle FALLOCATE =
            Syscalls.function(
                    "fallocate",
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));

    private static final int KEEP_SIZE = 0x1;
    private static final int PUNCH_HOLE = 0x2;
    private static final int ZERO_RANGE = 0x10;
    private static final int SEEK_END = 2;
    private static final int SEEK_DATA = 3;
    private static final int SEEK_HOLE = 4;

    private final Path path;
    private final int fd;

    /** What may be done with the file. */
    public enum Access {
        READ_ONLY,
        READ_WRITE
    }

    private BlockFile(Path path, int fd) {
        this.path = path;
        this.fd = fd;
    }

    /**
     * @throws SystemCallException if it is not there or may not be opened
     */
    public static BlockFile open(Path path, Access access) {
        int flags =
                switch (access) {
                    case READ_ONLY -> Syscalls.O_RDONLY;
                    case READ_WRITE -> Syscalls.O_RDWR;
                };
        return new BlockFile(path, Syscalls.open(path, flags | Syscalls.O_CLOEXEC));
    }

    /** Size now, of a file or a block device. */
    public long sizeBytes() {
        return seek("size of ", 0, SEEK_END);
    }

    /**
     * Fills {@code into}, a native segment.
     *
     * @throws SystemCallException also, with EIO, if the file ends before
     */
    public void read(long offset, MemorySegment into) {
        transfer(PREAD, "read ", offset, into);
    }

    /** Writes all of {@code from}, a native segment, to the page cache. */
    public void write(long offset, MemorySegment from) {
        transfer(PWRITE, "write ", offset, from);
    }

    private void transfer(MethodHandle call, String name, long offset, MemorySegment memory) {
        if (!memory.isNative()) {
            throw new IllegalArgumentException("a segment of the heap");
        }
        MemorySegment state = Syscalls.errnoState();
        long done = 0;
        try {
            while (done < memory.byteSize()) {
                MemorySegment rest = memory.asSlice(done);
                long count =
                        (long) call.invokeExact(state, fd, rest, rest.byteSize(), offset + done);
                if (count == -1) {
                    throw Syscalls.failure(name + path, state);
                }
                if (count == 0) {
                    throw new SystemCallException(
                            name + path, Errno.EIO, "the file ends at " + (offset + done));
                }
                done += count;
            }
        } catch (Throwable t) {
            throw Syscalls.unexpected(t);
        }
    }

    /** Brings everything that was written to stable storage. */
    public void sync() {
        MemorySegment state = Syscalls.errnoState();
        try {
            if ((int) FDATASYNC.invokeExact(state, fd) == -1) {
                throw Syscalls.failure("fdatasync " + path, state);
            }
        } catch (Throwable t) {
            throw Syscalls.unexpected(t);
        }
    }

    /**
     * Gives a range's storage back; it reads as zeros then. The size stays.
     *
     * @throws SystemCallException with EOPNOTSUPP where the file system cannot
     */
    public void punchHole(long offset, long bytes) {
        fallocate("punch a hole in ", PUNCH_HOLE | KEEP_SIZE, offset, bytes);
    }

    /**
     * Makes a range read as zeros and keeps or gives it its storage. The size stays.
     *
     * @throws SystemCallException with EOPNOTSUPP where the file system cannot
     */
    public void zeroRange(long offset, long bytes) {
        fallocate("zero a range of ", ZERO_RANGE | KEEP_SIZE, offset, bytes);
    }

    private void fallocate(String what, int mode, long offset, long bytes) {
        MemorySegment state = Syscalls.errnoState();
        try {
            if ((int) FALLOCATE.invokeExact(state, fd, mode, offset, bytes) == -1) {
                throw Syscalls.failure(what + path, state);
            }
        } catch (Throwable t) {
            throw Syscalls.unexpected(t);
        }
    }

    /**
     * Where the next allocated byte is, from {@code offset} on; {@code end} if there is none
     * before.
     */
    public long nextData(long offset, long end) {
        try {
            return Math.min(end, seek("find data in ", offset, SEEK_DATA));
        } catch (SystemCallException e) {
            if (e.errno() == Errno.ENXIO) {
                return end;
            }
            throw e;
        }
    }

    /** Where the next hole is, from {@code offset} on; {@code end} if there is none before. */
    public long nextHole(long offset, long end) {
        return Math.min(end, seek("find a hole in ", offset, SEEK_HOLE));
    }

    private long seek(String what, long offset, int whence) {
        MemorySegment state = Syscalls.errnoState();
        try {
            long found = (long) LSEEK.invokeExact(state, fd, offset, whence);
            if (found == -1) {
                throw Syscalls.failure(what + path, state);
            }
            return found;
        } catch (Throwable t) {
            throw Syscalls.unexpected(t);
        }
    }

    @Override
    public void close() {
        Syscalls.close(fd);
    }
}
