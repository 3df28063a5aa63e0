package holdfast.node.api;

import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.unixdomain.server.UnixDomainServerConnector;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.net.ConnectException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.Executors;

/**
 * Offers a {@link NodeApi} as HTTP/1.1 with JSON on a Unix socket that only its owner may use.
 * Requests run on virtual threads.
 */
public final class ApiServer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ApiServer.class);

    /** The kernel's limit for the path of a Unix socket, in bytes. */
    public static final int SOCKET_PATH_BYTES_MAX = 107;

    private static final long STOP_MILLIS = 2_000;

    private final Server server;
    private final Path socket;

    private ApiServer(Server server, Path socket) {
        this.server = server;
        this.socket = socket;
    }

    /**
     * Starts to listen. The socket's directory must exist and be its owner's alone; a socket left
     * behind by a daemon that died is replaced.
     *
     * @throws ApiException {@link ApiException.Kind#EXISTS} where a daemon answers there, {@link
     *     ApiException.Kind#MISSING} where the socket cannot be made
     */
    public static ApiServer start(NodeApi api, Path socket) {
        requireShort(socket);
        removeStale(socket);
        QueuedThreadPool threads = new QueuedThreadPool(8, 2);
        threads.setName("api");
        threads.setDaemon(true);
        threads.setVirtualThreadsExecutor(
                Executors.newThreadPerTaskExecutor(
                        Thread.ofVirtual().name("api-request-", 0).factory()));
        Server server = new Server(threads);
        HttpConfiguration http = new HttpConfiguration();
        http.setSendServerVersion(false);
        http.setSendDateHeader(false);
        http.setRequestHeaderSize(16 << 10);
        UnixDomainServerConnector connector =
                new UnixDomainServerConnector(server, new HttpConnectionFactory(http));
        connector.setUnixDomainPath(socket);
        connector.setIdleTimeout(ApiHandler.KEEP_ALIVE_MILLIS * 24);
        server.addConnector(connector);
        server.setHandler(new ApiHandler(api));
        server.setErrorHandler(ApiHandler::refuse);
        server.setStopTimeout(STOP_MILLIS);
        ApiServer started = new ApiServer(server, socket);
        try {
            server.start();
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
        } catch (Exception e) {
            started.close();
            throw new ApiException(
                    ApiException.Kind.MISSING,
                    "cannot listen on "
                            + socket
                            + ": "
                            + e.getMessage()
                            + "; choose a directory that you may write with --state-dir",
                    e);
        }
        LOG.info("api=listening socket={}", socket);
        return started;
    }

    private static void requireShort(Path socket) {
        int found = socket.toString().getBytes(java.nio.charset.StandardCharsets.UTF_8).length;
        if (found > SOCKET_PATH_BYTES_MAX) {
            throw ApiException.badRequest(
                    "the path of the socket "
                            + socket
                            + " has "
                            + found
                            + " bytes, the kernel allows "
                            + SOCKET_PATH_BYTES_MAX
                            + "; choose a shorter --state-dir");
        }
    }

    private static void removeStale(Path socket) {
        if (!Files.exists(socket)) {
            return;
        }
        try (SocketChannel probe = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            probe.connect(UnixDomainSocketAddress.of(socket));
            throw new ApiException(
                    ApiException.Kind.EXISTS,
                    "a daemon answers on "
                            + socket
                            + " already; `holdfast node stop` ends it, --state-dir chooses another"
                            + " place");
        } catch (ConnectException e) {
            LOG.info("api=replacing-stale-socket socket={} reason={}", socket, e.getMessage());
            delete(socket);
        } catch (IOException e) {
            throw new ApiException(
                    ApiException.Kind.MISSING,
                    "cannot look at the socket " + socket + ": " + e.getMessage(),
                    e);
        }
    }

    private static void delete(Path socket) {
        try {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            throw new ApiException(
                    ApiException.Kind.MISSING,
                    "cannot remove the stale socket " + socket + ": " + e.getMessage(),
                    e);
        }
    }

    public Path socket() {
        return socket;
    }

    /** Stops listening; requests that run get two seconds. Their operations go on. */
    @Override
    public void close() {
        try {
            server.stop();
        } catch (Exception e) {
            LOG.warn("api=stop-failed socket={}", socket, e);
        }
        try {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            LOG.warn("api=socket-left-behind socket={}", socket, e);
        }
    }
}
