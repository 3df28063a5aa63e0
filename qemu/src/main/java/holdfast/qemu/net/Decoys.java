package holdfast.qemu.net;

import holdfast.qemu.linux.PacketSocket;
import holdfast.qemu.linux.SystemCallException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A frame to nobody for each tap of a guest, to be sent right after the guest was stopped: QEMU
 * reads one more frame of each tap before it finds that it cannot pass it on, keeps it, and with
 * the QEMU it is lost. This is the one that it is to read.
 *
 * <p>One of the guest's own that comes between the stop and this one is lost instead, as it would
 * be without. A guest that gets one all the same, for its QEMU goes on, drops it: it is addressed
 * to a group that no bridge forwards and nobody joins.
 */
public final class Decoys implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Decoys.class);

    /**
     * @spec https://standards.ieee.org/ieee/802.1Q/10323/ IEEE 802.1Q-2022, table 8-1: the last of
     *     the addresses that bridges do not forward, reserved
     */
    private static final byte[] TO_NOBODY = {0x01, (byte) 0x80, (byte) 0xc2, 0, 0, 0x0f};

    /** Locally administered. */
    private static final byte[] FROM = {0x02, 0x68, 0x66, 0, 0, 1};

    /**
     * @spec https://standards.ieee.org/ieee/802/5308/ IEEE 802-2014, 9.2.4: Local Experimental
     *     EtherType 1
     */
    private static final byte[] ETHER_TYPE = {(byte) 0x88, (byte) 0xb5};

    private static final byte[] TEXT =
            "holdfast: read this one".getBytes(StandardCharsets.US_ASCII);
    private static final int FRAME_BYTES = 60;
    private static final byte[] FRAME = frame();

    private static final Path OUR_NETWORK = Path.of("/proc/self/ns/net");
    private static final Path INTERFACES = Path.of("/sys/class/net");

    /** Made by drivers/net/tun.c of Linux for its interfaces, and by nothing else. */
    private static final String TAP_ONLY = "tun_flags";

    private final Arena arena = Arena.ofShared();
    private final MemorySegment frame = arena.allocate(FRAME_BYTES);
    private final List<PacketSocket> taps = new ArrayList<>();

    private Decoys() {
        frame.copyFrom(MemorySegment.ofArray(FRAME));
    }

    private static byte[] frame() {
        ByteBuffer bytes = ByteBuffer.allocate(FRAME_BYTES);
        bytes.put(TO_NOBODY).put(FROM).put(ETHER_TYPE).put(TEXT);
        return bytes.array();
    }

    /**
     * Prepares them, and sends a first one of each, which the running guest drops: the first calls
     * of all take milliseconds, and are not for a pause. For a tap for which that fails there is
     * none, which the log says: it costs one frame.
     *
     * @param pid of the QEMU that has them
     */
    public static Decoys prepare(long pid, Iterable<String> taps) {
        Decoys decoys = new Decoys();
        for (String tap : taps) {
            Optional<String> obstacle = obstacle(pid, tap);
            if (obstacle.isPresent()) {
                LOG.info("event=no-decoy tap={} reason=\"{}\"", tap, obstacle.get());
                continue;
            }
            try {
                decoys.taps.add(PacketSocket.on(tap));
            } catch (SystemCallException e) {
                LOG.info("event=no-decoy tap={} reason=\"{}\"", tap, e.getMessage());
            }
        }
        decoys.send();
        return decoys;
    }

    /**
     * Why the interface of that name here is not, or cannot be told to be, the tap of that process:
     * names like {@code tap0} are in many network namespaces.
     */
    static Optional<String> obstacle(long pid, String tap) {
        Path theirs = Path.of("/proc", Long.toString(pid), "ns", "net");
        try {
            if (!Files.readSymbolicLink(theirs).equals(Files.readSymbolicLink(OUR_NETWORK))) {
                return Optional.of("process " + pid + " is in another network namespace");
            }
        } catch (IOException e) {
            return Optional.of("the network namespace of process " + pid + " cannot be read: " + e);
        }
        return Files.exists(INTERFACES.resolve(tap).resolve(TAP_ONLY))
                ? Optional.empty()
                : Optional.of("there is no tap of that name in the daemon's network namespace");
    }

    /** Sends them. Never fails, and waits for nothing. */
    public void send() {
        for (PacketSocket tap : taps) {
            try {
                tap.send(frame);
            } catch (SystemCallException e) {
                LOG.debug("event=no-decoy reason=\"{}\"", e.getMessage());
            }
        }
    }

    /** Whether a frame behind a virtio header of so many bytes is one. */
    static boolean isOne(byte[] bytes, int headerBytes) {
        return Arrays.equals(bytes, headerBytes, bytes.length, FRAME, 0, FRAME_BYTES);
    }

    /** Once more has no effect. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            taps.forEach(PacketSocket::close);
            taps.clear();
            arena.close();
        }
    }
}
