package holdfast.node.disk;

import holdfast.engine.DiskException;
import holdfast.qemu.linux.Errno;
import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/** The machine's own files. */
final class SystemFiles implements DiskFiles {
    /**
     * Where QEMU locks an image: a byte for each permission from 100, for each refusal to share
     * from 200.
     *
     * @spec https://gitlab.com/qemu-project/qemu/-/blob/master/block/file-posix.c
     *     RAW_LOCK_PERM_BASE
     */
    private static final long QEMU_LOCK_FIRST = 100;

    private static final long QEMU_LOCK_END = 300;

    /** Ours: beyond QEMU's, so that the standby can open the image that we write. */
    private static final long OWN_LOCK = 300;

    private static final int BLOCK_DEVICE = 0x6000;
    private static final int FILE_TYPE = 0xF000;
    private static final int ZEROES_BYTES = 1 << 20;

    /** Of common block devices. Of one with larger ones some zeroes are written, not punched. */
    private static final int SECTOR_BYTES_MAX = 4096;

    /** Less is as good as nothing: some steps want no more than a few KiB, some a batch. */
    private static final long FULL_BYTES = 1 << 20;

    private final ImageUse use;
    private volatile Optional<Path> foundFull = Optional.empty();

    SystemFiles(ImageUse use) {
        this.use = use;
    }

    @Override
    public ImageUse use() {
        return use;
    }

    @Override
    public OpenFile openImage(Path path) throws IOException {
        OptionalInt claim = isBlockDevice(path) ? OptionalInt.of(claim(path)) : OptionalInt.empty();
        try {
            FileChannel channel =
                    FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
            try {
                requireUnused(channel, path);
                return new Channel(channel, path, claim);
            } catch (IOException | RuntimeException e) {
                channel.close();
                throw e;
            }
        } catch (IOException | RuntimeException e) {
            claim.ifPresent(Syscalls::close);
            throw e;
        }
    }

    static boolean isBlockDevice(Path path) throws IOException {
        return ((int) Files.getAttribute(path, "unix:mode") & FILE_TYPE) == BLOCK_DEVICE;
    }

    /**
     * The kernel gives a block device to one that asks so, whatever its device node is called and
     * wherever it lies; a lock is one of the node. Mounts and volume managers ask so, too; QEMU
     * does not, so that the standby can open it.
     *
     * @return a descriptor that holds the claim until it is closed
     */
    private static int claim(Path path) {
        try {
            return Syscalls.open(path, Syscalls.O_RDWR | Syscalls.O_EXCL | Syscalls.O_CLOEXEC);
        } catch (SystemCallException e) {
            if (e.errno() != Errno.EBUSY) {
                throw new DiskException(
                        "image " + path + " cannot be opened: " + e.getMessage(), e);
            }
            throw new DiskException(
                    "image "
                            + path
                            + " is mounted, part of another device (`lsblk` shows of which), or"
                            + " in use by another session; end that, or name another image",
                    e);
        }
    }

    /** The locks of a process end with its first close of the file: nothing else here opens it. */
    private void requireUnused(FileChannel channel, Path path) throws IOException {
        try {
            // Refused while any process holds one of QEMU's locks, even for reading.
            var qemu = channel.tryLock(QEMU_LOCK_FIRST, QEMU_LOCK_END - QEMU_LOCK_FIRST, false);
            if (qemu != null) {
                qemu.release();
                if (channel.tryLock(OWN_LOCK, 1, false) != null) {
                    return;
                }
            }
        } catch (OverlappingFileLockException e) {
            throw new DiskException(
                    "image "
                            + path
                            + " is in use by another session of this daemon; end that, or name"
                            + " another image",
                    e);
        }
        throw new DiskException(
                "image "
                        + path
                        + " is in use by another process (`fuser "
                        + path
                        + "` names it); "
                        + use.ifInUse());
    }

    @Override
    public OpenFile open(Path path) throws IOException {
        return new Channel(
                FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE), path);
    }

    @Override
    public OpenFile create(Path path) throws IOException {
        return new Channel(
                FileChannel.open(
                        path,
                        StandardOpenOption.CREATE,
                        StandardOpenOption.READ,
                        StandardOpenOption.WRITE,
                        StandardOpenOption.TRUNCATE_EXISTING),
                path);
    }

    @Override
    public List<Path> list(Path directory) throws IOException {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(directory)) {
            entries.forEach(found::add);
        } catch (NoSuchFileException e) {
            return List.of();
        }
        Collections.sort(found);
        return found;
    }

    @Override
    public void createDirectory(Path directory) throws IOException {
        Files.createDirectories(directory);
    }

    @Override
    public void rename(Path from, Path to) throws IOException {
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    }

    @Override
    public void delete(Path path) throws IOException {
        Files.deleteIfExists(path);
    }

    @Override
    public void forceDirectory(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    @Override
    public long usableBytes(Path path) throws IOException {
        Path there = path.toAbsolutePath();
        while (!Files.exists(there)) {
            there = there.getParent();
        }
        return Files.getFileStore(there).getUsableSpace();
    }

    @Override
    public Optional<Path> foundFull() {
        return foundFull;
    }

    /** What the error is called depends on the language of the system, and on quotas. */
    @Override
    public DiskException failure(String file, Path path, String step, IOException e) {
        try {
            if (usableBytes(path) < FULL_BYTES) {
                foundFull = Optional.of(path);
            }
        } catch (IOException unknown) {
            e.addSuppressed(unknown);
        }
        return DiskFiles.super.failure(file, path, step, e);
    }

    private static final class Channel implements OpenFile {
        private final FileChannel channel;
        private final Path path;

        /**
         * Of its own, for what a channel cannot do; opened when that is first needed, unless it is
         * the claim on a block device.
         */
        private OptionalInt descriptor;

        private boolean holes = true;

        Channel(FileChannel channel, Path path, OptionalInt claim) {
            this.channel = channel;
            this.path = path;
            this.descriptor = claim;
        }

        Channel(FileChannel channel, Path path) {
            this(channel, path, OptionalInt.empty());
        }

        @Override
        public void write(ByteBuffer from, long position) throws IOException {
            long at = position;
            while (from.hasRemaining()) {
                at += channel.write(from, at);
            }
        }

        @Override
        public int read(ByteBuffer into, long position) throws IOException {
            int sum = 0;
            while (into.hasRemaining()) {
                int count = channel.read(into, position + sum);
                if (count < 0) {
                    break;
                }
                sum += count;
            }
            return sum;
        }

        @Override
        public synchronized void zero(long position, long bytes) throws IOException {
            if (punched(position, bytes)) {
                return;
            }
            // Of a range that is no multiple of a device's sectors, what lies within it is.
            long end = position + bytes;
            long firstWhole = Math.ceilDiv(position, SECTOR_BYTES_MAX) * SECTOR_BYTES_MAX;
            long endWhole = end / SECTOR_BYTES_MAX * SECTOR_BYTES_MAX;
            if (firstWhole < endWhole && punched(firstWhole, endWhole - firstWhole)) {
                writeZeroes(position, firstWhole);
                writeZeroes(endWhole, end);
            } else {
                writeZeroes(position, end);
            }
        }

        private boolean punched(long position, long bytes) throws IOException {
            if (!holes) {
                return false;
            }
            try {
                if (descriptor.isEmpty()) {
                    descriptor =
                            OptionalInt.of(
                                    Syscalls.open(path, Syscalls.O_RDWR | Syscalls.O_CLOEXEC));
                }
                Syscalls.punchHole(descriptor.getAsInt(), position, bytes);
                return true;
            } catch (SystemCallException e) {
                switch (e.errno()) {
                    case Errno.EOPNOTSUPP -> holes = false;
                    // A block device with sectors that this range is no multiple of.
                    case Errno.EINVAL -> {}
                    default -> throw new IOException(e.getMessage(), e);
                }
                return false;
            }
        }

        private void writeZeroes(long position, long end) throws IOException {
            ByteBuffer zeroes =
                    ByteBuffer.allocateDirect((int) Math.min(end - position, ZEROES_BYTES));
            for (long at = position; at < end; at += zeroes.limit()) {
                zeroes.clear().limit((int) Math.min(end - at, zeroes.capacity()));
                write(zeroes, at);
            }
        }

        @Override
        public long size() throws IOException {
            return channel.size();
        }

        @Override
        public void resize(long bytes) throws IOException {
            channel.truncate(bytes);
            if (channel.size() < bytes) {
                // One byte at the end: what lies before it is a hole.
                write(ByteBuffer.allocate(1), bytes - 1);
            }
        }

        @Override
        public void force() throws IOException {
            // fdatasync: a changed size is forced as well, times are not.
            channel.force(false);
        }

        @Override
        public synchronized void close() throws IOException {
            try (channel) {
                descriptor.ifPresent(Syscalls::close);
                descriptor = OptionalInt.empty();
            }
        }
    }
}
