package holdfast.qemu.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;

@Timeout(60)
class SocketBuffersTest {
    private static final int BYTES = 2 << 20;

    @TempDir private Path directory;

    @Test
    void more_of_a_stream_is_on_its_way() throws IOException {
        UnixDomainSocketAddress address = UnixDomainSocketAddress.of(directory.resolve("a.sock"));
        UnixDomainSocketAddress other = UnixDomainSocketAddress.of(directory.resolve("b.sock"));
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
                ServerSocketChannel second =
                        ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(address);
            second.bind(other);
            try (SocketChannel widened = SocketChannel.open(address);
                    SocketChannel accepted = server.accept();
                    SocketChannel left = SocketChannel.open(other);
                    SocketChannel leftAccepted = second.accept()) {
                long here = ProcessHandle.current().pid();
                assertThat(SocketBuffers.widen(here, address.getPath(), BYTES)).isEqualTo(1);
                assertThat(accepted.isConnected() && leftAccepted.isConnected()).isTrue();
                assertThat(sentBeforeItWaits(widened)).isGreaterThan(sentBeforeItWaits(left));
            }
        }
    }

    /** Nobody reads. */
    private static int sentBeforeItWaits(SocketChannel channel) throws IOException {
        channel.configureBlocking(false);
        ByteBuffer data = ByteBuffer.allocateDirect(4 * BYTES);
        while (channel.write(data) > 0) {
            assertThat(data.hasRemaining()).isTrue();
        }
        return data.position();
    }

    @Test
    void there_may_be_none() throws IOException {
        long here = ProcessHandle.current().pid();
        assertThat(SocketBuffers.widen(here, directory.resolve("none.sock"), BYTES)).isZero();
    }

    @Test
    void a_process_that_is_gone_is_said() {
        assertThatThrownBy(() -> SocketBuffers.widen(Integer.MAX_VALUE, directory, BYTES))
                .isInstanceOf(SystemCallException.class);
    }
}
