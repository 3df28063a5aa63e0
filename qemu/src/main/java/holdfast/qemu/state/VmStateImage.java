package holdfast.qemu.state;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import holdfast.engine.HypervisorException;
import holdfast.qemu.linux.ReservedStorage;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A qcow2 image without a disk: one internal snapshot whose VM-state area is one run of clusters,
 * mapped here, so that each load writes plain bytes in place. QEMU may keep it open all the time:
 * it reads the file, and nothing but the state area ever changes. One thread.
 *
 * <pre>
 *  cluster 0  header        3  active L1 table (no data)   6  L2 table of the snapshot
 *  cluster 1  refcount table 4  snapshot table              7  VM state, to the end
 *  cluster 2  refcounts      5  L1 table of the snapshot
 * </pre>
 *
 * @spec https://www.qemu.org/docs/master/interop/qcow2.html The qcow2 image format
 */
public final class VmStateImage implements AutoCloseable {
    /** The snapshot's name. */
    public static final String TAG = "state";

    private static final int CLUSTER_BITS = 16;
    private static final int CLUSTER_BYTES = 1 << CLUSTER_BITS;
    private static final int TABLE_ENTRIES = CLUSTER_BYTES / Long.BYTES;

    /** One L2 table, and one block of 16-bit refcounts, must be enough. */
    public static final long STATE_BYTES_MAX = (long) (TABLE_ENTRIES - 16) * CLUSTER_BYTES;

    private static final String CREATE = "create state image";

    private static final int MAGIC = 0x514649fb;
    private static final int VERSION = 3;
    private static final int HEADER_BYTES = 104;
    private static final int REFCOUNT_ORDER_16_BITS = 4;
    private static final long COPIED = 1L << 63;
    private static final int REFCOUNT_TABLE = 1;
    private static final int REFCOUNTS = 2;
    private static final int ACTIVE_L1 = 3;
    private static final int SNAPSHOTS = 4;
    private static final int SNAPSHOT_L1 = 5;
    private static final int SNAPSHOT_L2 = 6;
    private static final int STATE = 7;

    private static final ValueLayout.OfShort U16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private final Path path;
    private final Arena arena;
    private final MemorySegment state;

    /** Of the state area; the rest of it is a hole that must not be touched. */
    private long reservedBytes;

    private VmStateImage(Path path, Arena arena, MemorySegment state) {
        this.path = path;
        this.arena = arena;
        this.state = state;
    }

    /**
     * Makes the image; it is sparse and takes only the room of the largest state written.
     *
     * @param path must not exist; best in a memory file system
     * @param stateBytes room for the state, 1 to {@link #STATE_BYTES_MAX}
     */
    public static VmStateImage create(Path path, long stateBytes) {
        if (stateBytes < 1 || stateBytes > STATE_BYTES_MAX) {
            throw new IllegalArgumentException(
                    "stateBytes: found " + stateBytes + ", expected 1 to " + STATE_BYTES_MAX);
        }
        int clusters = (int) ((stateBytes + CLUSTER_BYTES - 1) >> CLUSTER_BITS);
        ReservedStorage.create(CREATE, path, at(STATE));
        Arena arena = Arena.ofShared();
        try (FileChannel channel =
                FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MemorySegment image =
                    channel.map(FileChannel.MapMode.READ_WRITE, 0, at(STATE + clusters), arena);
            describe(image, clusters);
            return new VmStateImage(path, arena, image.asSlice(at(STATE)));
        } catch (IOException e) {
            undo(arena, path, e);
            throw new HypervisorException(CREATE, path + ": " + e, e);
        } catch (RuntimeException | Error e) {
            undo(arena, path, e);
            throw e;
        }
    }

    private static void undo(Arena arena, Path path, Throwable reason) {
        arena.close();
        try {
            Files.deleteIfExists(path);
        } catch (IOException left) {
            reason.addSuppressed(left);
        }
    }

    private static void describe(MemorySegment image, int stateClusters) {
        int clusters = STATE + stateClusters;
        header(new Writer(image, 0));
        new Writer(image, at(REFCOUNT_TABLE)).u64(at(REFCOUNTS));
        Writer refcounts = new Writer(image, at(REFCOUNTS));
        for (int i = 0; i < clusters; i++) {
            refcounts.u16(1);
        }
        snapshot(new Writer(image, at(SNAPSHOTS)), (long) stateClusters << CLUSTER_BITS);
        // The snapshot's disk has one cluster; the VM state lies behind it. With clusters of 64 KiB
        // one L2 table spans 512 MiB, and QEMU puts the state at the first table after the disk.
        new Writer(image, at(SNAPSHOT_L1)).u64(0).u64(at(SNAPSHOT_L2) | COPIED);
        Writer table = new Writer(image, at(SNAPSHOT_L2));
        for (int i = 0; i < stateClusters; i++) {
            table.u64(at(STATE + i) | COPIED);
        }
    }

    private static void header(Writer header) {
        header.u32(MAGIC).u32(VERSION);
        header.u64(0).u32(0); // no backing file
        header.u32(CLUSTER_BITS);
        header.u64(CLUSTER_BYTES); // size of the disk
        header.u32(0); // no encryption
        header.u32(2).u64(at(ACTIVE_L1));
        header.u64(at(REFCOUNT_TABLE)).u32(1);
        header.u32(1).u64(at(SNAPSHOTS));
        header.u64(0).u64(0).u64(0); // no features
        header.u32(REFCOUNT_ORDER_16_BITS).u32(HEADER_BYTES);
    }

    private static void snapshot(Writer entry, long stateBytes) {
        byte[] id = {'1'};
        byte[] name = TAG.getBytes(StandardCharsets.US_ASCII);
        entry.u64(at(SNAPSHOT_L1)).u32(2);
        entry.u16(id.length).u16(name.length);
        entry.u32(0).u32(0).u64(0); // no date, no guest time
        entry.u32(0); // the 32-bit size gives way to the one below
        entry.u32(2 * Long.BYTES).u64(stateBytes).u64(CLUSTER_BYTES);
        entry.bytes(id).bytes(name);
    }

    private static long at(int cluster) {
        return (long) cluster << CLUSTER_BITS;
    }

    /** Where the image is. */
    public Path path() {
        return path;
    }

    /**
     * Puts a stream into the state area; what an earlier, longer one left behind it is not read.
     *
     * @throws HypervisorException if it does not fit, the image or the file system
     */
    public void write(StateSplice splice) {
        if (splice.bytes() > state.byteSize()) {
            throw new HypervisorException(
                    "load device state",
                    "%d bytes of state do not fit the %d of %s: give the standby a larger state image"
                            .formatted(splice.bytes(), state.byteSize(), path));
        }
        if (splice.bytes() > reservedBytes) {
            ReservedStorage.reserve("load device state", path, at(STATE) + splice.bytes());
            reservedBytes = splice.bytes();
        }
        splice.copyTo(state);
    }

    /** Unmaps and removes the image. */
    @Override
    public void close() {
        arena.close();
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            throw new HypervisorException("remove state image", path + ": " + e.getMessage(), e);
        }
    }

    /** Appends big-endian numbers. */
    private static final class Writer {
        private final MemorySegment into;
        private long offset;

        private Writer(MemorySegment into, long offset) {
            this.into = into;
            this.offset = offset;
        }

        private Writer u16(int value) {
            into.set(U16, offset, (short) value);
            offset += Short.BYTES;
            return this;
        }

        private Writer u32(int value) {
            into.set(U32, offset, value);
            offset += Integer.BYTES;
            return this;
        }

        private Writer u64(long value) {
            into.set(U64, offset, value);
            offset += Long.BYTES;
            return this;
        }

        private Writer bytes(byte[] value) {
            MemorySegment.copy(value, 0, into, JAVA_BYTE, offset, value.length);
            offset += value.length;
            return this;
        }
    }
}
