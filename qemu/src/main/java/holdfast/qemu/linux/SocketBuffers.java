package holdfast.qemu.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Send buffers of another process's sockets. How much of a Unix socket's stream is on its way is
 * bounded at the sender's end alone, and whoever sends more is woken for each piece.
 */
public final class SocketBuffers {
    private static final int SOL_SOCKET = 1;
    private static final int SO_SNDBUF = 7;
    private static final int SO_SNDBUFFORCE = 32;
    private static final short AF_UNIX = 1;
    private static final int ADDRESS_BYTES = 110;
    private static final int PATH_AT = 2;

    // SAFETY: as in Syscalls, whose errno state the calls use; the segments live until the arena of
    // the caller below is closed, after the call.
    private static final MethodHandle GETPEERNAME =
            Syscalls.function(
                    "getpeername", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, ADDRESS));
    private static final MethodHandle SETSOCKOPT =
            Syscalls.function(
                    "setsockopt",
                    FunctionDescriptor.of(
                            JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));

    private SocketBuffers() {}

    /**
     * Widens the send buffer of each socket of {@code pid} that is connected to {@code address}, as
     * far as this process may; what is sent meanwhile goes on.
     *
     * @return how many there are
     * @throws SystemCallException if this process may not look into that one, or it is gone
     */
    public static int widen(long pid, Path address, int bytes) throws IOException {
        int found = 0;
        int pidfd = Syscalls.pidfdOpen(pid);
        try (DirectoryStream<Path> descriptors =
                Files.newDirectoryStream(Path.of("/proc", Long.toString(pid), "fd"))) {
            for (Path descriptor : descriptors) {
                if (Files.readSymbolicLink(descriptor).toString().startsWith("socket:")) {
                    int fd =
                            Syscalls.pidfdGetfd(
                                    pidfd, Long.parseLong(descriptor.getFileName().toString()));
                    try {
                        if (peer(fd).equals(address.toString())) {
                            widen(fd, bytes);
                            found++;
                        }
                    } finally {
                        Syscalls.close(fd);
                    }
                }
            }
        } finally {
            Syscalls.close(pidfd);
        }
        return found;
    }

    /** The path of the address that a socket is connected to; empty where there is none. */
    private static String peer(int fd) {
        try (Arena arena = Arena.ofConfined()) {
            // One byte more, which stays zero: a path may fill its place to the end.
            MemorySegment name = arena.allocate(ADDRESS_BYTES + 1, 8);
            MemorySegment length = arena.allocateFrom(JAVA_INT, ADDRESS_BYTES);
            int result = (int) GETPEERNAME.invokeExact(Syscalls.errnoState(), fd, name, length);
            if (result == -1 || name.get(JAVA_SHORT, 0) != AF_UNIX) {
                return "";
            }
            return name.getString(PATH_AT);
        } catch (Throwable t) {
            throw Syscalls.unexpected(t);
        }
    }

    private static void widen(int fd, int bytes) {
        MemorySegment state = Syscalls.errnoState();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocateFrom(JAVA_INT, bytes);
            // Only an administrator of the network may go beyond net.core.wmem_max.
            int forced =
                    (int)
                            SETSOCKOPT.invokeExact(
                                    state, fd, SOL_SOCKET, SO_SNDBUFFORCE, value, Integer.BYTES);
            if (forced == -1
                    && (int)
                                    SETSOCKOPT.invokeExact(
                                            state, fd, SOL_SOCKET, SO_SNDBUF, value, Integer.BYTES)
                            == -1) {
                throw Syscalls.failure("setsockopt SO_SNDBUF", state);
            }
        } catch (Throwable t) {
            throw Syscalls.unexpected(t);
        }
    }
}
