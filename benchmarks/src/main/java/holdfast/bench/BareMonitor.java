package holdfast.bench;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The least that can drive QEMU's monitor: one thread writes a line and reads until the reply. It
 * is the floor that a checkpoint is measured beside, so nothing is parsed and nobody is woken. One
 * thread.
 */
final class BareMonitor implements AutoCloseable {
    private static final byte[] STOP = line("{\"execute\":\"stop\"}");
    private static final byte[] CONT = line("{\"execute\":\"cont\"}");

    private final SocketChannel channel;
    private final ByteBuffer room = ByteBuffer.allocateDirect(64 * 1024);
    private final StringBuilder partial = new StringBuilder();
    private final byte[] save;

    /**
     * @param socket a monitor nobody else is connected to
     * @param stateFile where QEMU writes its state
     */
    BareMonitor(Path socket, Path stateFile) throws IOException {
        save =
                line(
                        "{\"execute\":\"xen-save-devices-state\",\"arguments\":{\"filename\":\"%s\",\"live\":false}}"
                                .formatted(stateFile));
        channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        channel.connect(UnixDomainSocketAddress.of(socket));
        readLine();
        command(line("{\"execute\":\"qmp_capabilities\"}"));
    }

    private static byte[] line(String text) {
        return (text + "\n").getBytes(StandardCharsets.US_ASCII);
    }

    /** Nanoseconds of each command, its reply included. */
    record Floor(long stopNanos, long saveNanos, long contNanos) {
        long totalNanos() {
            return stopNanos + saveNanos + contNanos;
        }
    }

    /** Stops the guest, saves its device state, lets it run. */
    Floor floor() throws IOException {
        long start = System.nanoTime();
        command(STOP);
        long stopped = System.nanoTime();
        command(save);
        long saved = System.nanoTime();
        command(CONT);
        return new Floor(stopped - start, saved - stopped, System.nanoTime() - saved);
    }

    private void command(byte[] line) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(line);
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
        while (true) {
            for (String answer : readLine()) {
                if (answer.startsWith("{\"return\"")) {
                    return;
                }
                if (answer.startsWith("{\"error\"")) {
                    throw new IOException("QEMU refuses the floor's command: " + answer);
                }
            }
        }
    }

    /** The next lines: at least one, or an event between two replies. */
    private List<String> readLine() throws IOException {
        List<String> lines = new ArrayList<>();
        while (lines.isEmpty()) {
            room.clear();
            if (channel.read(room) < 0) {
                throw new IOException("QEMU closed its monitor");
            }
            partial.append(StandardCharsets.US_ASCII.decode(room.flip()));
            for (int end = partial.indexOf("\n"); end >= 0; end = partial.indexOf("\n")) {
                lines.add(partial.substring(0, end).strip());
                partial.delete(0, end + 1);
            }
        }
        return lines;
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
