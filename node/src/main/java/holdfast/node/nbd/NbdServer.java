package holdfast.node.nbd;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Serves block devices to NBD clients. Any thread may call; the methods that end connections wait
 * until those have ended.
 */
public final class NbdServer implements AutoCloseable {
    /** Reads and writes longer than this reach an export in pieces of this size. */
    public static final int PIECE_BYTES = 1024 * 1024;

    private static final Logger LOG = LoggerFactory.getLogger(NbdServer.class);

    private static final long JOIN_NANOS = TimeUnit.SECONDS.toNanos(10);
    private static final long CHECK_MILLIS = 100;

    private final ServerSocketChannel listener;
    private final SocketAddress address;
    private final NbdLimits limits;
    private final Optional<NbdTls> tls;
    private final Thread accepter;
    private final ScheduledThreadPoolExecutor deadlines;
    private final CountDownLatch closing = new CountDownLatch(1);

    // Guarded by this. A connection has a place in at most one of the two that are limited; it
    // gives
    // it up before its client sees the end, so that the client may come back at once, and stays
    // among all until its thread is about to end.
    private final Map<String, ServedExport> exports = new TreeMap<>();
    private final Set<NbdConnection> handshakes = new HashSet<>();
    private final Map<NbdConnection, ServedExport> serving = new HashMap<>();
    private final Set<NbdConnection> all = new HashSet<>();
    private boolean refusing;

    private long accepted;

    private NbdServer(
            ServerSocketChannel listener,
            SocketAddress address,
            NbdLimits limits,
            Optional<NbdTls> tls) {
        this.listener = listener;
        this.address = address;
        this.limits = limits;
        this.tls = tls;
        this.accepter = Thread.ofPlatform().name("nbd-accept").daemon().unstarted(this::accept);
        this.deadlines =
                new ScheduledThreadPoolExecutor(
                        1, Thread.ofPlatform().name("nbd-deadlines").daemon().factory());
    }

    /**
     * Listens and starts accepting. Exports are added afterwards.
     *
     * @param address of a Unix socket, whose file must not exist yet and is removed by {@link
     *     #close()}; or of TCP, with port 0 for one that is free
     * @param tls present: clients get nothing without TLS. Absent: whoever reaches the address may
     *     read and write, unencrypted; a Unix socket is its user's alone
     * @throws IOException if the address is taken or not this host's
     */
    public static NbdServer open(SocketAddress address, NbdLimits limits, Optional<NbdTls> tls)
            throws IOException {
        ServerSocketChannel listener =
                address instanceof UnixDomainSocketAddress
                        ? ServerSocketChannel.open(StandardProtocolFamily.UNIX)
                        : ServerSocketChannel.open();
        try {
            switch (address) {
                case UnixDomainSocketAddress unix -> {
                    listener.bind(unix);
                    Files.setPosixFilePermissions(
                            unix.getPath(), PosixFilePermissions.fromString("rw-------"));
                }
                case InetSocketAddress tcp -> {
                    listener.setOption(StandardSocketOptions.SO_REUSEADDR, true);
                    listener.bind(tcp);
                }
                default ->
                        throw new IllegalArgumentException(
                                "neither a Unix socket nor TCP: " + address);
            }
            NbdServer server = new NbdServer(listener, listener.getLocalAddress(), limits, tls);
            server.start();
            return server;
        } catch (IOException | RuntimeException e) {
            listener.close();
            throw e;
        }
    }

    private void start() {
        accepter.start();
        deadlines.scheduleWithFixedDelay(
                this::checkDeadlines, CHECK_MILLIS, CHECK_MILLIS, TimeUnit.MILLISECONDS);
    }

    /** Where it listens. */
    public SocketAddress address() {
        return address;
    }

    Optional<NbdTls> tls() {
        return tls;
    }

    /**
     * Offers an export from now on.
     *
     * @throws IllegalStateException if there is one of this name, or the server is closed
     */
    public synchronized void add(NbdExport export) {
        if (closing.getCount() == 0) {
            throw new IllegalStateException("the NBD server is closed");
        }
        if (exports.putIfAbsent(export.name(), new ServedExport(export)) != null) {
            throw new IllegalStateException("there is an export \"" + export.name() + "\" already");
        }
    }

    /**
     * Takes an export back: shuts it down, ends its connections, and returns when no thread of the
     * server will call it any more.
     *
     * @return what its clients did
     * @throws IllegalArgumentException if there is none of this name
     * @throws IllegalStateException if a call to the export does not return within 10 s; then it
     *     must not be closed
     */
    public NbdStatistics remove(String name) {
        ServedExport served;
        List<NbdConnection> users = new ArrayList<>();
        synchronized (this) {
            served = exports.remove(name);
            if (served == null) {
                throw noExport(name);
            }
            for (NbdConnection connection : all) {
                if (connection.uses(served)) {
                    users.add(connection);
                }
            }
        }
        served.export.shutDown();
        end(users, "export " + name + " is removed");
        return served.statistics();
    }

    /**
     * @throws IllegalArgumentException if there is no export of this name
     */
    public NbdStatistics statistics(String name) {
        ServedExport served;
        synchronized (this) {
            served = exports.get(name);
        }
        if (served == null) {
            throw noExport(name);
        }
        return served.statistics();
    }

    /** For how long the request that waits longest has waited for its export; 0 if none does. */
    public long longestRequestNanos() {
        long now = System.nanoTime();
        return connections().stream()
                .mapToLong(connection -> connection.workedNanos(now))
                .max()
                .orElse(0);
    }

    private static IllegalArgumentException noExport(String name) {
        return new IllegalArgumentException("no export \"" + name + "\"");
    }

    synchronized List<ServedExport> exports() {
        return List.copyOf(exports.values());
    }

    private void accept() {
        while (listener.isOpen()) {
            try {
                welcome(listener.accept());
            } catch (ClosedChannelException e) {
                return;
            } catch (IOException e) {
                LOG.warn("event=nbd-accept-failed reason=\"{}\"", e.getMessage());
                // Too many open files, most likely: do not spin on it.
                if (closedWithin(CHECK_MILLIS)) {
                    return;
                }
            }
        }
    }

    private boolean closedWithin(long millis) {
        try {
            return closing.await(millis, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            // Nobody interrupts this thread but to end it.
            Thread.currentThread().interrupt();
            return true;
        }
    }

    private void welcome(SocketChannel socket) throws IOException {
        NbdConnection connection = new NbdConnection(this, socket, client(socket));
        if (!enter(connection)) {
            socket.close();
            return;
        }
        if (address instanceof InetSocketAddress) {
            socket.setOption(StandardSocketOptions.TCP_NODELAY, true);
            socket.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
        }
        connection.start();
    }

    private synchronized boolean enter(NbdConnection connection) {
        if (closing.getCount() == 0) {
            return false;
        }
        if (handshakes.size() < limits.handshakesMax()) {
            refusing = false;
            all.add(connection);
            return handshakes.add(connection);
        }
        if (!refusing) {
            // Once a flood, not once a client.
            refusing = true;
            LOG.warn(
                    "event=nbd-connection-refused reason=\"{} clients are in their handshake\"",
                    limits.handshakesMax());
        }
        return false;
    }

    /** Clients of a Unix socket have no address: they are numbered. */
    private String client(SocketChannel socket) throws IOException {
        accepted++; // by the accepting thread alone
        return socket.getRemoteAddress() instanceof InetSocketAddress tcp
                ? tcp.getAddress().getHostAddress() + ":" + tcp.getPort()
                : "unix-" + accepted;
    }

    /** Whether a connection may go on from its handshake to requests for an export. */
    boolean admit(NbdConnection connection, ServedExport served) {
        synchronized (this) {
            boolean room =
                    serving.size() < limits.connectionsMax()
                            && exports.get(served.export.name()) == served
                            && closing.getCount() > 0;
            if (!room || !handshakes.remove(connection)) {
                return false;
            }
            serving.put(connection, served);
            connection.use(served);
            served.connections.increment();
        }
        return connection.serving(served);
    }

    /** A connection gives its place up. May be repeated. */
    synchronized void leave(NbdConnection connection) {
        handshakes.remove(connection);
        ServedExport served = serving.remove(connection);
        if (served != null) {
            served.connections.decrement();
        }
    }

    /** A connection's thread is about to end. */
    synchronized void ended(NbdConnection connection) {
        leave(connection);
        all.remove(connection);
    }

    private void checkDeadlines() {
        long now = System.nanoTime();
        for (NbdConnection connection : connections()) {
            connection.checkDeadline(now, limits);
        }
    }

    /**
     * Closes all connections, and waits for none of their threads: they may be what hangs. Who
     * connects anew is served.
     *
     * @param reason for the log
     */
    public void cut(String reason) {
        connections().forEach(connection -> connection.close(reason, true));
    }

    private synchronized List<NbdConnection> connections() {
        return List.copyOf(all);
    }

    private static void end(List<NbdConnection> connections, String reason) {
        for (NbdConnection connection : connections) {
            connection.close(reason, false);
        }
        long until = System.nanoTime() + JOIN_NANOS;
        for (NbdConnection connection : connections) {
            join(connection.thread(), until);
        }
    }

    private static void join(Thread thread, long untilNanos) {
        boolean interrupted = false;
        while (thread.isAlive()) {
            long left = untilNanos - System.nanoTime();
            if (left <= 0) {
                throw new IllegalStateException(
                        "thread " + thread.getName() + " still waits for its export");
            }
            try {
                thread.join(Math.max(1, TimeUnit.NANOSECONDS.toMillis(left)));
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /**
     * Stops listening, shuts all exports down, ends all connections and waits for their threads.
     * The exports themselves stay open.
     *
     * @throws IllegalStateException if a call to an export does not return within 10 s
     */
    @Override
    public void close() throws IOException {
        List<ServedExport> served;
        synchronized (this) {
            closing.countDown();
            served = List.copyOf(exports.values());
        }
        deadlines.shutdownNow();
        try {
            listener.close();
            join(accepter, System.nanoTime() + JOIN_NANOS);
        } finally {
            try {
                for (ServedExport each : served) {
                    each.export.shutDown();
                }
            } finally {
                end(connections(), "the server is closing");
            }
            if (address instanceof UnixDomainSocketAddress unix) {
                Files.deleteIfExists(unix.getPath());
            }
        }
    }
}
