package holdfast.qemu.memory;

import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;

/** Another JVM that tracks a process, says its own pid, and waits to be killed. */
final class TrackerHolderMain {
    private TrackerHolderMain() {}

    public static void main(String[] args) throws Exception {
        long pid = Long.parseLong(args[1]);
        long bytes = Long.parseLong(args[3]);
        try (MappedMemory memory = MappedMemory.open(Path.of(args[2]), bytes);
                WriteProtectTracker tracker =
                        WriteProtectTracker.open(pid, memory, Duration.ofSeconds(2));
                SocketChannel socket = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            tracker.collect(new holdfast.engine.memory.PfnSet(memory.pages()));
            socket.connect(UnixDomainSocketAddress.of(args[0]));
            ByteBuffer own = ByteBuffer.allocate(8).putLong(ProcessHandle.current().pid()).flip();
            socket.write(own);
            socket.read(ByteBuffer.allocate(1));
        }
    }
}
