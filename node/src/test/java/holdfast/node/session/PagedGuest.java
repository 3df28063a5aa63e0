package holdfast.node.session;

import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.OutputGate;
import holdfast.node.link.DiskStream;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32C;

/**
 * A guest of plain memory whose only program writes random pages. Its device state is the checksum
 * of its memory at that instant, so that whoever resumes it can tell whether state and memory
 * belong together.
 */
final class PagedGuest implements ProtectedGuest, Domain, GuestMemory, AutoCloseable {
    private final Arena arena = Arena.ofShared();
    private final MemorySegment bytes;
    private final MemorySegment sections = arena.allocate(16);
    private final MemorySegment base = arena.allocate(64);
    private final PfnSet dirty;
    private final Random random;
    private final Thread program;
    private boolean running = true;
    private boolean destroyed;
    private volatile boolean ended;
    final AtomicLong releasedEpoch = new AtomicLong(-1);
    volatile int failCaptures;

    PagedGuest(long pages, long seed) {
        bytes = arena.allocate(pages * PAGE_BYTES, PAGE_BYTES);
        dirty = new PfnSet(pages);
        random = new Random(seed);
        program = Thread.ofPlatform().name("guest").daemon().start(this::run);
    }

    private void run() {
        while (!ended) {
            synchronized (this) {
                if (running) {
                    for (int i = 0; i < 8; i++) {
                        long pfn = random.nextLong(pages());
                        long at = pfn * PAGE_BYTES + 8L * random.nextInt(PAGE_BYTES / 8);
                        bytes.set(ValueLayout.JAVA_LONG, at, random.nextLong());
                        dirty.add(pfn);
                    }
                }
            }
            java.util.concurrent.locks.LockSupport.parkNanos(200_000);
        }
    }

    static long checksum(MemorySegment memory) {
        CRC32C crc = new CRC32C();
        crc.update(memory.asByteBuffer());
        return crc.getValue();
    }

    synchronized boolean destroyed() {
        return destroyed;
    }

    synchronized boolean running() {
        return running;
    }

    @Override
    public Domain domain() {
        return this;
    }

    @Override
    public GuestMemory memory() {
        return this;
    }

    @Override
    public Tracking openTracker() {
        return new Tracking(
                new DirtyTracker() {
                    @Override
                    public String kind() {
                        return "test";
                    }

                    @Override
                    public void collect(PfnSet into) {
                        synchronized (PagedGuest.this) {
                            into.addAll(dirty);
                            dirty.clear();
                        }
                    }

                    @Override
                    public void close() {}
                },
                "test",
                List.of());
    }

    @Override
    public Forwarding forwardDisks(DiskStream stream) {
        throw new AssertionError("a guest without disks");
    }

    @Override
    public OutputGate holdOutput(Runnable pressure, InboundCopy inbound) {
        return new OutputGate() {
            @Override
            public void closeEpoch(long epoch) {
                inbound.frame(epoch + 1, 0, 0, java.nio.ByteBuffer.wrap(new byte[60]));
            }

            @Override
            public void release(long epoch) {
                releasedEpoch.set(epoch);
            }

            @Override
            public Held held() {
                return new Held(0, 0, 0, 0, 0);
            }

            @Override
            public void detach() {}

            @Override
            public void close() {}
        };
    }

    @Override
    public String name() {
        return "guest";
    }

    @Override
    public synchronized void suspend() {
        running = false;
    }

    @Override
    public synchronized void resume() {
        running = true;
    }

    @Override
    public synchronized void destroy() {
        running = false;
        destroyed = true;
    }

    @Override
    public synchronized DeviceState saveDeviceState() {
        if (failCaptures > 0) {
            failCaptures--;
            throw new holdfast.engine.HypervisorException("save", "told to fail");
        }
        sections.set(ValueLayout.JAVA_LONG, 0, checksum(bytes));
        return new DeviceState(new DeviceState.DeviceBase(1, base), sections);
    }

    @Override
    public long pages() {
        return bytes.byteSize() / PAGE_BYTES;
    }

    @Override
    public MemorySegment bytes() {
        return bytes;
    }

    @Override
    public void close() {
        ended = true;
        boolean interrupted = false;
        while (program.isAlive()) {
            try {
                program.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        arena.close();
    }
}
