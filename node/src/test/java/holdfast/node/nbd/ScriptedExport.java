package holdfast.node.nbd;

import holdfast.wire.nbd.NbdError;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Reads as zeros; fails or blocks where it is told to; remembers what it was asked. */
class ScriptedExport implements NbdExport {
    static final long SIZE_BYTES = 64L << 20;

    /** Offsets from which on everything fails. */
    volatile long failsFrom = Long.MAX_VALUE;

    volatile Exception failure = new NbdException(NbdError.ENOSPC, "no room");
    volatile CountDownLatch block;
    final CountDownLatch blocked = new CountDownLatch(1);
    final CountDownLatch shutDown = new CountDownLatch(1);
    final List<String> calls = Collections.synchronizedList(new ArrayList<>());
    private final String name;
    private final boolean readOnly;
    private final BlockSizes sizes;

    ScriptedExport(String name, boolean readOnly, BlockSizes sizes) {
        this.name = name;
        this.readOnly = readOnly;
        this.sizes = sizes;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String description() {
        return "scripted";
    }

    @Override
    public long sizeBytes() {
        return SIZE_BYTES;
    }

    @Override
    public boolean readOnly() {
        return readOnly;
    }

    @Override
    public BlockSizes blockSizes() {
        return sizes;
    }

    private void called(String what, long offset, long bytes) throws IOException {
        calls.add(what + " " + offset + "+" + bytes);
        CountDownLatch latch = block;
        if (latch != null) {
            blocked.countDown();
            try {
                if (!latch.await(30, TimeUnit.SECONDS)) {
                    throw new IllegalStateException("nobody let the export go on");
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            if (shutDown.getCount() == 0) {
                throw new NbdException(NbdError.ESHUTDOWN, "closing");
            }
        }
        if (offset + bytes > failsFrom) {
            switch (failure) {
                case IOException e -> throw e;
                case RuntimeException e -> throw e;
                default -> throw new IllegalStateException(failure);
            }
        }
    }

    @Override
    public void read(long offset, ByteBuffer into) throws IOException {
        called("read", offset, into.remaining());
        while (into.hasRemaining()) {
            into.put((byte) 0x5a);
        }
    }

    @Override
    public void write(long offset, ByteBuffer from, Durability durability) throws IOException {
        called("write " + durability, offset, from.remaining());
    }

    @Override
    public void writeZeroes(
            long offset, long lengthBytes, Set<ZeroFlag> flags, Durability durability)
            throws IOException {
        called("zero " + flags + " " + durability, offset, lengthBytes);
    }

    @Override
    public void trim(long offset, long lengthBytes, Durability durability) throws IOException {
        called("trim " + durability, offset, lengthBytes);
    }

    @Override
    public void flush() throws IOException {
        called("flush", 0, 0);
    }

    @Override
    public void shutDown() {
        shutDown.countDown();
        CountDownLatch latch = block;
        if (latch != null) {
            latch.countDown();
        }
    }
}
