package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.channels.ServerSocketChannel;
import java.util.ArrayList;
import java.util.List;

class ReservedPortTest {
    private static final int OTHERS = 2_000;

    @Test
    void who_names_it_listens_again_and_again_and_nobody_else_gets_it() throws Exception {
        try (ReservedPort reserved = ReservedPort.here()) {
            InetSocketAddress address = new InetSocketAddress("127.0.0.1", reserved.port());
            for (int i = 0; i < 3; i++) {
                try (ServerSocketChannel daemon = ServerSocketChannel.open().bind(address);
                        Socket client = new Socket(address.getAddress(), address.getPort())) {
                    assertThat(client.isConnected()).isTrue();
                    daemon.accept().close();
                }
            }
            List<ServerSocket> others = new ArrayList<>();
            try {
                for (int i = 0; i < OTHERS; i++) {
                    others.add(new ServerSocket(0));
                }
                assertThat(others)
                        .extracting(ServerSocket::getLocalPort)
                        .doesNotContain(reserved.port());
            } finally {
                for (ServerSocket other : others) {
                    other.close();
                }
            }
        }
    }
}
