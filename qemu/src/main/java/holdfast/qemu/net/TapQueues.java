package holdfast.qemu.net;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.InboundFrames;
import holdfast.qemu.linux.Syscalls;
import holdfast.qemu.linux.SystemCallException;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What the network sent to a guest that stands still: QEMU reads no tap then, so that it lies in
 * the taps' queues and would go with them.
 */
public final class TapQueues {
    /** As many frames as this are taken; a tap's own queue is a quarter of it. */
    public static final int FRAMES_MAX = 4096;

    public static final long BYTES_MAX = 8 << 20;

    /** {@code TUNGETVNETHDRSZ} of linux/if_tun.h. */
    private static final long GET_VNET_HEADER_BYTES = 0x800454d7L;

    /** A frame of 64 KiB that the network has not cut yet, and its headers. */
    private static final int FRAME_BYTES_MAX = 69_632;

    private static final String TUN = "/dev/net/tun";
    private static final String INTERFACE = "iff:";

    private TapQueues() {}

    /**
     * Takes the frames out. The guest of that QEMU must never run again: it would miss them.
     *
     * @param nics index of the NIC at each tap
     * @throws HypervisorException if that process's descriptors cannot be had, which needs the
     *     right to trace it
     */
    public static InboundFrames take(long pid, Map<String, Integer> nics) {
        List<InboundFrames.Frame> frames = new ArrayList<>();
        Path process = Path.of("/proc", Long.toString(pid));
        try {
            int handle = Syscalls.pidfdOpen(pid);
            try (Arena arena = Arena.ofConfined();
                    DirectoryStream<Path> descriptors =
                            Files.newDirectoryStream(process.resolve("fd"))) {
                MemorySegment room = arena.allocate(FRAME_BYTES_MAX, 8);
                for (Path descriptor : descriptors) {
                    Optional<Integer> nic =
                            tap(process, descriptor).map(nics::get).filter(known -> known != null);
                    if (nic.isPresent()) {
                        int tap =
                                Syscalls.pidfdGetfd(
                                        handle,
                                        Long.parseLong(descriptor.getFileName().toString()));
                        try {
                            take(tap, nic.get(), room, frames);
                        } finally {
                            Syscalls.close(tap);
                        }
                    }
                }
            } finally {
                Syscalls.close(handle);
            }
        } catch (IOException | SystemCallException e) {
            throw new HypervisorException("read taps", "of process " + pid + ": " + e, e);
        }
        return new InboundFrames(frames);
    }

    private static Optional<String> tap(Path process, Path descriptor) throws IOException {
        if (!Files.isSymbolicLink(descriptor)
                || !Files.readSymbolicLink(descriptor).toString().equals(TUN)) {
            return Optional.empty();
        }
        return Files.readAllLines(process.resolve("fdinfo").resolve(descriptor.getFileName()))
                .stream()
                .filter(line -> line.startsWith(INTERFACE))
                .map(line -> line.substring(INTERFACE.length()).strip())
                .findFirst();
    }

    private static void take(
            int tap, int nic, MemorySegment room, List<InboundFrames.Frame> frames) {
        Syscalls.ioctl("TUNGETVNETHDRSZ", tap, GET_VNET_HEADER_BYTES, room);
        int header = room.get(JAVA_INT, 0);
        long bytes = frames.stream().mapToLong(frame -> frame.bytes().remaining()).sum();
        while (frames.size() < FRAMES_MAX && bytes < BYTES_MAX && Syscalls.readable(tap)) {
            int read = (int) Syscalls.read(tap, room);
            if (read <= header) {
                return;
            }
            byte[] frame = new byte[read];
            MemorySegment.copy(room, 0, MemorySegment.ofArray(frame), 0, read);
            if (Decoys.isOne(frame, header)) {
                // Another one was quicker.
                continue;
            }
            frames.add(
                    new InboundFrames.Frame(
                            nic, header, ByteBuffer.wrap(frame).asReadOnlyBuffer()));
            bytes += read;
        }
    }
}
