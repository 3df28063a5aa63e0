package holdfast.node.nbd;

import holdfast.qemu.linux.BlockFile;
import holdfast.qemu.linux.Errno;
import holdfast.qemu.linux.SystemCallException;
import holdfast.wire.nbd.NbdError;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * A raw image file or a block device. Holes are real: zeros and trimmed ranges give their storage
 * back where the file system can, and block status tells what is allocated.
 */
public final class FileExport implements NbdExport, AutoCloseable {
    /** Written at a time where a range can only be zeroed by writing. */
    private static final int ZERO_BYTES = 1024 * 1024;

    /** How a range can be made zero without writing it. */
    private enum Ability {
        PUNCH_HOLE,
        ZERO_RANGE
    }

    private final String name;
    private final BlockFile.Access access;
    private final BlockFile file;
    private final long sizeBytes;
    private final Set<Ability> abilities;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment zeros;

    // Calls hold the read lock: the descriptor must not be closed below one of them.
    private final ReentrantReadWriteLock open = new ReentrantReadWriteLock();
    private boolean closed;
    private volatile boolean shutDown;

    /**
     * Opens an image. Its size is what it is now.
     *
     * @throws NbdException if it is not there, or may not be opened
     */
    public static FileExport open(String name, Path path, BlockFile.Access access)
            throws NbdException {
        try {
            BlockFile file = BlockFile.open(path, access);
            try {
                return new FileExport(name, access, file, file.sizeBytes());
            } catch (RuntimeException e) {
                file.close();
                throw e;
            }
        } catch (SystemCallException e) {
            throw failure(e);
        }
    }

    private FileExport(String name, BlockFile.Access access, BlockFile file, long sizeBytes) {
        this.name = name;
        this.access = access;
        this.file = file;
        this.sizeBytes = sizeBytes;
        this.abilities =
                switch (access) {
                    case READ_ONLY -> EnumSet.noneOf(Ability.class);
                    case READ_WRITE -> abilities(file, sizeBytes);
                };
        this.zeros =
                switch (access) {
                    case READ_ONLY -> MemorySegment.NULL;
                    case READ_WRITE -> arena.allocate(ZERO_BYTES);
                };
    }

    /** Tried beyond the end of the file, where there is nothing to lose. */
    private static Set<Ability> abilities(BlockFile file, long sizeBytes) {
        EnumSet<Ability> found = EnumSet.noneOf(Ability.class);
        long beyond = Math.ceilDiv(sizeBytes, 4096) * 4096;
        for (Ability ability : Ability.values()) {
            try {
                switch (ability) {
                    case PUNCH_HOLE -> file.punchHole(beyond, 4096);
                    case ZERO_RANGE -> {
                        file.zeroRange(beyond, 4096);
                        // On some file systems the range got storage; give it back.
                        if (found.contains(Ability.PUNCH_HOLE)) {
                            file.punchHole(beyond, 4096);
                        }
                    }
                }
                found.add(ability);
            } catch (SystemCallException e) {
                // A block device says so of everything beyond its end, and can do both.
                if (e.errno() == Errno.EINVAL) {
                    found.add(ability);
                }
            }
        }
        return found;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public boolean readOnly() {
        return access == BlockFile.Access.READ_ONLY;
    }

    @Override
    public boolean zeroesFast() {
        return !abilities.isEmpty();
    }

    @Override
    public void read(long offset, ByteBuffer into) throws IOException {
        call(() -> file.read(offset, MemorySegment.ofBuffer(into)));
        into.position(into.limit());
    }

    @Override
    public void write(long offset, ByteBuffer from, Durability durability) throws IOException {
        call(
                () -> {
                    file.write(offset, MemorySegment.ofBuffer(from));
                    settle(durability);
                });
        from.position(from.limit());
    }

    private void settle(Durability durability) {
        switch (durability) {
            case FLUSHED_LATER -> {}
            case ON_RETURN -> file.sync();
        }
    }

    @Override
    public void writeZeroes(
            long offset, long lengthBytes, Set<ZeroFlag> flags, Durability durability)
            throws IOException {
        call(
                () -> {
                    boolean done =
                            !flags.contains(ZeroFlag.NO_HOLE)
                                    && quickly(Ability.PUNCH_HOLE, offset, lengthBytes);
                    if (!done && !quickly(Ability.ZERO_RANGE, offset, lengthBytes)) {
                        if (flags.contains(ZeroFlag.FAST)) {
                            throw new NbdException(
                                    NbdError.ENOTSUP, "the file system can only write zeros");
                        }
                        writeZeros(offset, lengthBytes);
                    }
                    settle(durability);
                });
    }

    /** Whether the range was zeroed so. */
    private boolean quickly(Ability ability, long offset, long bytes) {
        if (!abilities.contains(ability)) {
            return false;
        }
        try {
            switch (ability) {
                case PUNCH_HOLE -> file.punchHole(offset, bytes);
                case ZERO_RANGE -> file.zeroRange(offset, bytes);
            }
            return true;
        } catch (SystemCallException e) {
            // Block devices say only now that they cannot, or not at this alignment.
            if (e.errno() == Errno.EOPNOTSUPP || e.errno() == Errno.EINVAL) {
                return false;
            }
            throw e;
        }
    }

    private void writeZeros(long offset, long bytes) throws NbdException {
        for (long done = 0; done < bytes; ) {
            if (shutDown) {
                throw new NbdException(NbdError.ESHUTDOWN, "the server is closing");
            }
            long piece = Math.min(bytes - done, ZERO_BYTES);
            file.write(offset + done, zeros.asSlice(0, piece));
            done += piece;
        }
    }

    @Override
    public void trim(long offset, long lengthBytes, Durability durability) throws IOException {
        call(
                () -> {
                    quickly(Ability.PUNCH_HOLE, offset, lengthBytes);
                    settle(durability);
                });
    }

    @Override
    public void flush() throws IOException {
        call(
                () -> {
                    switch (access) {
                        case READ_ONLY -> {}
                        case READ_WRITE -> file.sync();
                    }
                });
    }

    @Override
    public void blockStatus(long offset, long lengthBytes, ExtentSink sink) throws IOException {
        call(() -> extents(offset, offset + lengthBytes, sink));
    }

    private void extents(long start, long end, ExtentSink sink) {
        long at = start;
        boolean more = true;
        while (more && at < end) {
            long data = file.nextData(at, end);
            if (data > at) {
                more = sink.extent(data - at, ExtentSink.State.HOLE);
                at = data;
            } else {
                // At least a byte: another connection may punch a hole right here meanwhile.
                long hole = Math.max(at + 1, file.nextHole(at, end));
                more = sink.extent(hole - at, ExtentSink.State.DATA);
                at = hole;
            }
        }
    }

    private interface Call {
        void run() throws IOException;
    }

    private void call(Call call) throws IOException {
        open.readLock().lock();
        try {
            if (closed) {
                throw new NbdException(NbdError.ESHUTDOWN, "export " + name + " is closed");
            }
            call.run();
        } catch (SystemCallException e) {
            throw failure(e);
        } finally {
            open.readLock().unlock();
        }
    }

    private static NbdException failure(SystemCallException e) {
        NbdError error =
                switch (e.errno()) {
                    case Errno.EPERM, Errno.EACCES, Errno.EROFS -> NbdError.EPERM;
                    case Errno.ENOSPC, Errno.EDQUOT, Errno.EFBIG -> NbdError.ENOSPC;
                    case Errno.ENOMEM -> NbdError.ENOMEM;
                    case Errno.EINVAL -> NbdError.EINVAL;
                    case Errno.EOPNOTSUPP -> NbdError.ENOTSUP;
                    default -> NbdError.EIO;
                };
        return new NbdException(error, e.getMessage(), e);
    }

    @Override
    public void shutDown() {
        shutDown = true;
    }

    /** Waits for calls that are under way. What was written is not flushed by this. */
    @Override
    public void close() {
        shutDown = true;
        open.writeLock().lock();
        try {
            if (!closed) {
                closed = true;
                file.close();
                arena.close();
            }
        } finally {
            open.writeLock().unlock();
        }
    }
}
