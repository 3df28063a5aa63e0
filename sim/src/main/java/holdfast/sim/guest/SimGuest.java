package holdfast.sim.guest;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import holdfast.engine.port.GuestMemory;
import holdfast.sim.time.VirtualTime;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.function.LongConsumer;

/**
 * A guest's program: it scribbles over its memory and its disk, of which it remembers what is
 * there, changes its video memory now and then, and runs a service that answers request n once,
 * remembers the answer in its memory, and repeats it when asked again.
 */
public final class SimGuest {
    /** Whether the guest's instructions are carried out. */
    public enum Power {
        /** Instructions run. */
        RUNNING,
        /** The virtual CPUs stand. */
        SUSPENDED,
        /** The process is gone. */
        GONE
    }

    private static final int QUEUED_FRAMES_MAX = 64;

    private final String name;
    private final SimMemory memory;
    private final SimDisk disk;
    private final VirtualTime time;
    private final SplittableRandom random;
    private final long workNanos;
    private final ArrayDeque<Frame> received = new ArrayDeque<>();
    private Consumer<Frame> output = _ -> {};
    private LongConsumer dirty = _ -> {};
    private Power power = Power.SUSPENDED;
    private long writes;
    private long lastRequest;
    private long checksum;
    private int padding;
    private long baseNumber;

    /**
     * @param name which copy of the domain this is
     * @param workNanos mean time between two bursts of writes
     */
    public SimGuest(
            String name,
            SimMemory memory,
            SimDisk disk,
            VirtualTime time,
            SplittableRandom random,
            long workNanos) {
        this.name = name;
        this.memory = memory;
        this.disk = disk;
        this.time = time;
        this.random = random;
        this.workNanos = workNanos;
        scheduleWork();
    }

    public String name() {
        return name;
    }

    public SimMemory memory() {
        return memory;
    }

    public SimDisk disk() {
        return disk;
    }

    public Power power() {
        return power;
    }

    /** Where the guest's frames go. */
    public void connectOutput(Consumer<Frame> sink) {
        output = sink;
    }

    /** Who hears of each write to a page. */
    public void watch(LongConsumer pfnWritten) {
        dirty = pfnWritten;
    }

    public void run() {
        if (power == Power.SUSPENDED) {
            power = Power.RUNNING;
            while (power == Power.RUNNING && !received.isEmpty()) {
                serve(received.poll());
            }
        }
    }

    public void suspend() {
        if (power == Power.RUNNING) {
            power = Power.SUSPENDED;
        }
    }

    /** Ends the process. */
    public void end() {
        power = Power.GONE;
        received.clear();
    }

    /** What the guest keeps outside its memory now. */
    public Registers registers() {
        return new Registers(writes, lastRequest, checksum, padding);
    }

    /** Number of the present content of video memory and firmware. */
    public long baseNumber() {
        return baseNumber;
    }

    /** That content, made from its number. */
    public MemorySegment base() {
        return base(baseNumber);
    }

    /** The content that has {@code number}. */
    public static MemorySegment base(long number) {
        byte[] bytes = new byte[96 + (int) (number % 7) * 8];
        new SplittableRandom(number).nextBytes(bytes);
        MemorySegment segment = MemorySegment.ofArray(bytes);
        segment.set(JAVA_LONG_UNALIGNED, 0, number);
        return segment.asReadOnly();
    }

    /**
     * Goes on from a saved state.
     *
     * @throws IllegalArgumentException if memory, disk and device state are not of one instant
     */
    public void load(MemorySegment base, MemorySegment sections) {
        Registers registers = Registers.of(sections);
        writes = registers.writes();
        lastRequest = registers.lastRequest();
        checksum = registers.checksum();
        padding = registers.padding();
        baseNumber = base.get(JAVA_LONG_UNALIGNED, 0);
        if (base.mismatch(base(baseNumber)) >= 0) {
            throw new IllegalArgumentException("video memory is torn");
        }
        expect("last request", GuestImage.LAST_REQUEST, lastRequest);
        expect("count of writes", GuestImage.WRITES, writes);
        expect("checksum", GuestImage.CHECKSUM, checksum);
        long found = GuestImage.checksum(memory.bytes());
        if (found != checksum) {
            throw new IllegalArgumentException(
                    "the guest's memory is a mixture: checksum "
                            + Long.toHexString(found)
                            + ", the guest knows "
                            + Long.toHexString(checksum));
        }
        if (disk.checksum() != get(GuestImage.DISK_CHECKSUM)) {
            throw new IllegalArgumentException(
                    "disk and memory are of two epochs: the guest remembers "
                            + get(GuestImage.DISK_WRITES)
                            + " writes with checksum "
                            + Long.toHexString(get(GuestImage.DISK_CHECKSUM))
                            + ", the disk has "
                            + Long.toHexString(disk.checksum()));
        }
    }

    private void expect(String what, long word, long expected) {
        long found = get(word);
        if (found != expected) {
            throw new IllegalArgumentException(
                    "device state and memory are of two epochs: "
                            + what
                            + " is "
                            + found
                            + " in memory and "
                            + expected
                            + " in a register");
        }
    }

    /** A frame reached the guest's NIC. */
    public void receive(Frame frame) {
        switch (power) {
            case RUNNING -> serve(frame);
            case SUSPENDED -> {
                if (received.size() < QUEUED_FRAMES_MAX) {
                    received.add(frame);
                }
            }
            case GONE -> {}
        }
    }

    private void serve(Frame frame) {
        if (frame.number() == lastRequest + 1) {
            lastRequest = frame.number();
            long slot = GuestImage.slot(memory.pages(), lastRequest);
            put(slot, lastRequest);
            put(slot + 1, random.nextLong());
            put(GuestImage.LAST_REQUEST, lastRequest);
            finishWrites();
        }
        GuestImage.answer(memory.bytes(), frame.number())
                .ifPresent(
                        value -> output.accept(new Frame(Frame.Kind.ACK, frame.number(), value)));
    }

    private void scheduleWork() {
        time.after(
                1 + random.nextLong(2 * workNanos),
                () -> {
                    if (power == Power.GONE) {
                        return;
                    }
                    if (power == Power.RUNNING) {
                        work();
                    }
                    scheduleWork();
                });
    }

    private void work() {
        long first = GuestImage.firstScratchWord(memory.pages());
        long end = GuestImage.words(memory.pages());
        int kind = random.nextInt(20);
        if (kind == 0) {
            baseNumber++;
            padding = random.nextInt(64);
        } else if (kind == 1) {
            clearPage(1 + GuestImage.tablePages(memory.pages()), first, end);
        } else {
            int words = 1 + random.nextInt(kind == 2 ? 600 : 12);
            long at = random.nextLong(first, end);
            for (int i = 0; i < words; i++) {
                put(at, random.nextInt(8) == 0 ? 0 : random.nextLong());
                at = kind == 2 ? Math.min(at + 1, end - 1) : random.nextLong(first, end);
            }
        }
        if (random.nextInt(3) == 0) {
            writeDisk();
        }
        finishWrites();
    }

    private void writeDisk() {
        int count = 1 + random.nextInt(6);
        for (int i = 0; i < count; i++) {
            long sector = random.nextLong(SimDisk.SECTORS);
            long number = get(GuestImage.DISK_WRITES) + 1;
            put(GuestImage.DISK_WRITES, number);
            put(
                    GuestImage.DISK_CHECKSUM,
                    get(GuestImage.DISK_CHECKSUM)
                            + GuestImage.mix(sector, number)
                            - GuestImage.mix(sector, disk.read(sector)));
            disk.write(sector, number);
        }
    }

    private void clearPage(long firstPfn, long first, long end) {
        long words = GuestMemory.PAGE_BYTES / Long.BYTES;
        long pfn = random.nextLong(firstPfn, memory.pages());
        for (long word = Math.max(first, pfn * words);
                word < Math.min(end, (pfn + 1) * words);
                word++) {
            put(word, 0);
        }
    }

    private void finishWrites() {
        writes++;
        set(GuestImage.WRITES, writes);
        set(GuestImage.CHECKSUM, checksum);
    }

    private void put(long word, long value) {
        if (word > GuestImage.CHECKSUM) {
            checksum += GuestImage.mix(word, value) - GuestImage.mix(word, get(word));
        }
        set(word, value);
    }

    private long get(long word) {
        return memory.bytes().get(JAVA_LONG_UNALIGNED, word * Long.BYTES);
    }

    private void set(long word, long value) {
        memory.bytes().set(JAVA_LONG_UNALIGNED, word * Long.BYTES, value);
        dirty.accept(word * Long.BYTES / GuestMemory.PAGE_BYTES);
    }
}
