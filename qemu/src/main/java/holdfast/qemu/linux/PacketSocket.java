package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Sends whole Ethernet frames out of one interface and receives none, see packet(7). Needs the
 * capability CAP_NET_RAW. One thread at a time.
 */
@SuppressWarnings("restricted")
public final class PacketSocket implements AutoCloseable {
    private static final int AF_PACKET = 17;
    private static final int RAW_CLOEXEC_NONBLOCK = 3 | 0x80000 | 0x800;

    // struct sockaddr_ll of linux/if_packet.h: family, protocol, interface, and the rest zero.
    private static final int ADDRESS_BYTES = 20;
    private static final int INTERFACE_AT = 4;

    private static final MethodHandle IF_NAMETOINDEX =
            Syscalls.function("if_nametoindex", FunctionDescriptor.of(JAVA_INT, ADDRESS));
    private static final MethodHandle SOCKET =
            Syscalls.function(
                    "socket", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle BIND =
            Syscalls.function("bind", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));

    private final int fd;

    private PacketSocket(int fd) {
        this.fd = fd;
    }

    /**
     * @param name of an interface in this process's network namespace
     * @throws SystemCallException if there is none, or the capability is missing
     */
    public static PacketSocket on(String name) {
        MemorySegment state = Syscalls.errnoState();
        try (Arena arena = Arena.ofConfined()) {
            int index = (int) IF_NAMETOINDEX.invokeExact(state, arena.allocateFrom(name));
            if (index == 0) {
                throw Syscalls.failure("if_nametoindex " + name, state);
            }
            // Protocol 0: nothing is received.
            int fd = (int) SOCKET.invokeExact(state, AF_PACKET, RAW_CLOEXEC_NONBLOCK, 0);
            if (fd == -1) {
                throw Syscalls.failure("socket AF_PACKET", state);
            }
            MemorySegment address = arena.allocate(ADDRESS_BYTES, 8);
            address.set(JAVA_SHORT, 0, (short) AF_PACKET);
            address.set(JAVA_INT, INTERFACE_AT, index);
            if ((int) BIND.invokeExact(state, fd, address, ADDRESS_BYTES) == -1) {
                SystemCallException failure = Syscalls.failure("bind to " + name, state);
                Syscalls.close(fd);
                throw failure;
            }
            return new PacketSocket(fd);
        } catch (Throwable t) {
            throw Syscalls.unexpected(t);
        }
    }

    /**
     * @param frame native, from its destination address on, without a check sequence
     * @throws SystemCallException if the interface is down, or has no room
     */
    public void send(MemorySegment frame) {
        Syscalls.write(fd, frame);
    }

    @Override
    public void close() {
        Syscalls.close(fd);
    }
}
