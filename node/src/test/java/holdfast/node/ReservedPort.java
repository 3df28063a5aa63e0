package holdfast.node;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.SocketChannel;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A port that a daemon listens on, and again after it was killed. Nobody else on this host gets it
 * meanwhile: Linux gives a port that is bound to nobody who asks for any, and lets whoever names it
 * listen beside a socket that does not, where both may share the address.
 */
final class ReservedPort implements AutoCloseable {
    /** Below those that Linux gives to connections. */
    private static final int FIRST_OF_NAMESPACES = 20_000;

    private static final AtomicInteger OF_NAMESPACES = new AtomicInteger(FIRST_OF_NAMESPACES);

    private final int port;
    private final SocketChannel holding;

    private ReservedPort(int port, SocketChannel holding) {
        this.port = port;
        this.holding = holding;
    }

    /** One on this host's loopback address. */
    static ReservedPort here() throws IOException {
        SocketChannel holding = SocketChannel.open();
        try {
            holding.setOption(StandardSocketOptions.SO_REUSEADDR, true);
            holding.bind(new InetSocketAddress("127.0.0.1", 0));
            int port = ((InetSocketAddress) holding.getLocalAddress()).getPort();
            return new ReservedPort(port, holding);
        } catch (IOException | RuntimeException e) {
            holding.close();
            throw e;
        }
    }

    /** One in a network namespace of this process, where nobody but its daemons listens. */
    static ReservedPort inNamespace() throws IOException {
        return new ReservedPort(OF_NAMESPACES.getAndIncrement(), SocketChannel.open());
    }

    int port() {
        return port;
    }

    @Override
    public void close() throws IOException {
        holding.close();
    }
}
