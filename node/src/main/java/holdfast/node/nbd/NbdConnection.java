package holdfast.node.nbd;

import holdfast.wire.ProtocolException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.EOFException;
import java.io.IOException;
import java.nio.channels.SocketChannel;

/** One client from its connecting to its end, on one thread. */
final class NbdConnection {
    private static final Logger LOG = LoggerFactory.getLogger(NbdConnection.class);

    private static final int REASON_CHARS_MAX = 300;

    /** Where a connection is. */
    private sealed interface Phase {
        /** It must come to an end within the limit. */
        record Handshake(long sinceNanos) implements Phase {}

        record Serving(ServedExport served) implements Phase {}

        /** By this side; what the thread meets from now on is the consequence. */
        record Closed(String reason, boolean broken) implements Phase {}
    }

    private final NbdServer server;
    private final SocketChannel socket;
    private final String client;
    private final Thread thread;
    private volatile NbdStream stream;
    private volatile ServedExport used;
    private volatile Phase phase = new Phase.Handshake(System.nanoTime());

    NbdConnection(NbdServer server, SocketChannel socket, String client) {
        this.server = server;
        this.socket = socket;
        this.client = client;
        this.thread = Thread.ofPlatform().name("nbd-" + client).daemon().unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    Thread thread() {
        return thread;
    }

    void use(ServedExport served) {
        used = served;
    }

    /** Whether the thread, while it lives, may call this export. */
    boolean uses(ServedExport served) {
        return used == served;
    }

    private void run() {
        String reason;
        try {
            reason = serve();
        } catch (IOException | RuntimeException e) {
            reason = brokenBy(e);
        } finally {
            closeSocket();
            server.ended(this);
        }
        ended(reason);
    }

    /** Why the connection is broken; empty if it ended in order. */
    private String serve() throws IOException {
        try (NbdStream opened = new NbdStream(socket)) {
            stream = opened;
            try {
                return serve(opened);
            } finally {
                server.leave(this);
            }
        }
    }

    private String serve(NbdStream opened) throws IOException {
        Negotiation negotiation = new Negotiation(opened, server::exports, server.tls());
        return switch (negotiation.run()) {
            case Negotiation.Outcome.Left _ -> "";
            case Negotiation.Outcome.Transmit chosen -> {
                if (!server.admit(this, chosen.served())) {
                    yield "too many connections, or the export was just removed";
                }
                thread.setName("nbd-" + chosen.served().export.name() + "-" + client);
                opened.growForData();
                new Transmission(opened, chosen).run();
                yield "";
            }
        };
    }

    private String brokenBy(Exception e) {
        if (e instanceof EOFException && phase instanceof Phase.Serving) {
            // A client that was killed; QEMU's tools leave so too.
            return "";
        }
        if (e instanceof IOException || e instanceof ProtocolException) {
            return String.valueOf(e.getMessage());
        }
        LOG.error("event=nbd-connection-failed client={}", client, e);
        return e.toString();
    }

    private void ended(String reason) {
        switch (phase) {
            case Phase.Closed(String ours, boolean broken) -> {
                if (broken) {
                    broken("", ours);
                } else {
                    LOG.debug("event=nbd-closed client={} reason=\"{}\"", client, ours);
                }
            }
            case Phase.Serving(ServedExport served) -> {
                if (reason.isEmpty()) {
                    LOG.info(
                            "event=nbd-disconnected export={} client={}",
                            served.export.name(),
                            client);
                } else {
                    broken(served.export.name(), reason);
                }
            }
            case Phase.Handshake _ -> {
                if (reason.isEmpty()) {
                    LOG.debug("event=nbd-left client={}", client);
                } else {
                    broken("", reason);
                }
            }
        }
    }

    private void broken(String export, String reason) {
        LOG.warn(
                "event=nbd-connection-broken export={} client={} reason=\"{}\"",
                export,
                client,
                printable(reason));
    }

    /** A reason may quote the client: it must not write lines of its own into the log. */
    private static String printable(String text) {
        String line = text.replaceAll("\\p{Cntrl}", "?").replace('"', '\'');
        return line.length() <= REASON_CHARS_MAX ? line : line.substring(0, REASON_CHARS_MAX);
    }

    /** The handshake is over; false if this side closed the connection meanwhile. */
    synchronized boolean serving(ServedExport served) {
        return switch (phase) {
            case Phase.Handshake _ -> {
                phase = new Phase.Serving(served);
                LOG.info("event=nbd-connected export={} client={}", served.export.name(), client);
                yield true;
            }
            case Phase.Closed _ -> false;
            case Phase.Serving _ -> throw new IllegalStateException("served already");
        };
    }

    /** Closes what stalls. */
    void checkDeadline(long nowNanos, NbdLimits limits) {
        switch (phase) {
            case Phase.Handshake(long since) -> {
                if (nowNanos - since > limits.handshake().toNanos()) {
                    close(
                            "no export was chosen within " + limits.handshake().toMillis() + " ms",
                            true);
                }
            }
            case Phase.Serving(ServedExport served) -> {
                NbdStream waiting = stream;
                if (waiting != null && waiting.waitedNanos(nowNanos) > limits.stall().toNanos()) {
                    close(
                            "export "
                                    + served.export.name()
                                    + ": not a byte within "
                                    + limits.stall().toMillis()
                                    + " ms in the middle of a request or reply",
                            true);
                }
            }
            case Phase.Closed _ -> {}
        }
    }

    /** For how long its request has waited for the export; 0 if none does. */
    long workedNanos(long nowNanos) {
        NbdStream working = stream;
        return phase instanceof Phase.Serving && working != null
                ? working.workedNanos(nowNanos)
                : 0;
    }

    /** Ends the connection from another thread; its own thread ends soon after. */
    void close(String reason, boolean broken) {
        synchronized (this) {
            if (!(phase instanceof Phase.Closed)) {
                phase = new Phase.Closed(reason, broken);
            }
        }
        server.leave(this);
        closeSocket();
    }

    private void closeSocket() {
        try {
            socket.close();
        } catch (IOException e) {
            LOG.debug("event=nbd-close client={} reason=\"{}\"", client, e.getMessage());
        }
    }
}
