package holdfast.qemu.memory;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.SplittableRandom;

/**
 * The process whose writes are tracked, in the place of a QEMU: maps a file shared, connects to the
 * test's socket, and writes pages on command. Its second form writes at random on its own until
 * told to stop. Uses the JDK alone.
 */
final class WriterMain {
    static final int WRITE = 1;
    static final int READ = 2;
    static final int START_STORM = 3;
    static final int STOP_STORM = 4;
    static final int FILL_MANY = 5;

    private static final int PAGE = 4096;

    private WriterMain() {}

    public static void main(String[] args) throws Exception {
        String how = args.length > 2 ? args[2] : "whole";
        try (FileChannel file =
                        FileChannel.open(
                                Path.of(args[1]),
                                StandardOpenOption.READ,
                                StandardOpenOption.WRITE);
                Arena arena = Arena.ofShared();
                SocketChannel socket = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            MemorySegment[] parts =
                    switch (how) {
                        case "split" -> mapInParts(file, arena);
                        case "private" -> map(file, arena, FileChannel.MapMode.PRIVATE);
                        default -> map(file, arena, FileChannel.MapMode.READ_WRITE);
                    };
            socket.connect(UnixDomainSocketAddress.of(args[0]));
            serve(
                    parts,
                    new DataInputStream(Channels.newInputStream(socket)),
                    new DataOutputStream(Channels.newOutputStream(socket)));
        }
    }

    private static MemorySegment[] map(FileChannel file, Arena arena, FileChannel.MapMode mode)
            throws IOException {
        return new MemorySegment[] {file.map(mode, 0, file.size(), arena)};
    }

    /** The first half, a gap of one page that is not mapped, and the rest. */
    private static MemorySegment[] mapInParts(FileChannel file, Arena arena) throws IOException {
        long half = file.size() / 2;
        return new MemorySegment[] {
            file.map(FileChannel.MapMode.READ_WRITE, 0, half, arena),
            file.map(FileChannel.MapMode.READ_WRITE, half + PAGE, file.size() - half - PAGE, arena)
        };
    }

    private static void serve(MemorySegment[] parts, DataInputStream in, DataOutputStream out)
            throws Exception {
        out.writeLong(ProcessHandle.current().pid());
        Thread storm = null;
        for (int command = in.read(); command >= 0; command = in.read()) {
            long page = in.readLong();
            long value = in.readLong();
            long answer = 0;
            switch (command) {
                case WRITE -> set(parts, page, value);
                case READ -> answer = get(parts, page);
                case FILL_MANY -> {
                    for (long p = 0; p < page; p++) {
                        set(parts, p, value);
                    }
                }
                case START_STORM -> {
                    storm = Thread.ofPlatform().start(() -> storm(parts[0], page, value));
                }
                case STOP_STORM -> {
                    storm.interrupt();
                    storm.join();
                }
                default -> throw new IOException("command " + command);
            }
            out.writeLong(answer);
        }
    }

    /**
     * Writes anywhere in the first pages, often back to what stood there before, until interrupted.
     */
    private static void storm(MemorySegment memory, long pages, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        while (!Thread.currentThread().isInterrupted()) {
            long offset = random.nextLong(pages) * PAGE + random.nextInt(PAGE / 8) * 8L;
            long before = memory.get(ValueLayout.JAVA_LONG, offset);
            memory.set(ValueLayout.JAVA_LONG, offset, random.nextLong());
            if (random.nextBoolean()) {
                memory.set(ValueLayout.JAVA_LONG, offset, before);
            }
        }
    }

    private static void set(MemorySegment[] parts, long page, long value) {
        if (parts.length == 1 || page * PAGE < parts[0].byteSize()) {
            parts[0].set(ValueLayout.JAVA_LONG, page * PAGE, value);
        } else {
            parts[1].set(ValueLayout.JAVA_LONG, (page - 1) * PAGE - parts[0].byteSize(), value);
        }
    }

    private static long get(MemorySegment[] parts, long page) {
        if (parts.length == 1 || page * PAGE < parts[0].byteSize()) {
            return parts[0].get(ValueLayout.JAVA_LONG, page * PAGE);
        }
        return parts[1].get(ValueLayout.JAVA_LONG, (page - 1) * PAGE - parts[0].byteSize());
    }
}
