package holdfast.node.link;

import holdfast.engine.port.InboundFrames;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.LinkMessage.Hello;
import holdfast.wire.link.RefusalReason;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** Where other nodes connect. */
public final class LinkListener implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(LinkListener.class);

    /** Connections that are in their handshake at once; more are closed without a word. */
    private static final int HANDSHAKES_MAX = 64;

    private final ServerSocketChannel server;
    private final NodeIdentity self;
    private final SessionAccepter accepter;
    private final MigrationAccepter migrationAccepter;
    private final ConcurrentHashMap<UUID, TcpSecondaryLink> sessions = new ConcurrentHashMap<>();
    private final ConcurrentHashMap<UUID, TcpDestinationLink> migrations =
            new ConcurrentHashMap<>();
    private final Semaphore handshakes = new Semaphore(HANDSHAKES_MAX);
    private final Thread thread;

    /**
     * Listens and starts accepting.
     *
     * @param port 0: one that is free
     * @throws IOException if the address is taken or not this host's
     */
    public static LinkListener open(
            String host, int port, NodeIdentity self, SessionAccepter accepter) throws IOException {
        return open(host, port, self, accepter, MigrationAccepter.none());
    }

    /** As the other one, for a node that takes domains in, too. */
    public static LinkListener open(
            String host,
            int port,
            NodeIdentity self,
            SessionAccepter accepter,
            MigrationAccepter migrations)
            throws IOException {
        ServerSocketChannel server = ServerSocketChannel.open();
        try {
            server.setOption(StandardSocketOptions.SO_REUSEADDR, true);
            server.bind(new InetSocketAddress(host, port));
            LinkListener listener = new LinkListener(server, self, accepter, migrations);
            listener.thread.start();
            return listener;
        } catch (IOException | RuntimeException e) {
            server.close();
            throw e;
        }
    }

    private LinkListener(
            ServerSocketChannel server,
            NodeIdentity self,
            SessionAccepter accepter,
            MigrationAccepter migrationAccepter) {
        this.migrationAccepter = migrationAccepter;
        this.server = server;
        this.self = self;
        this.accepter = accepter;
        this.thread = Thread.ofPlatform().name("link-listener").daemon().unstarted(this::run);
    }

    /** Where it listens. */
    public InetSocketAddress address() throws IOException {
        return (InetSocketAddress) server.getLocalAddress();
    }

    private void run() {
        while (server.isOpen()) {
            try {
                accept(server.accept());
            } catch (ClosedChannelException e) {
                return;
            } catch (IOException e) {
                LOG.warn("event=accept-failed reason=\"{}\"", e.getMessage());
                // Too many open files, most likely: do not spin on it.
                if (Joining.await(new java.util.concurrent.CountDownLatch(1), PAUSE_NANOS)) {
                    return;
                }
            }
        }
    }

    private static final long PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

    private void accept(SocketChannel channel) throws IOException {
        if (!handshakes.tryAcquire()) {
            channel.close();
            return;
        }
        Thread.ofVirtual()
                .name("link-handshake")
                .start(
                        () -> {
                            try {
                                handshake(channel);
                            } finally {
                                handshakes.release();
                            }
                        });
    }

    private void handshake(SocketChannel channel) {
        try {
            String address =
                    NodeAddress.of((InetSocketAddress) channel.getRemoteAddress()).toString();
            Handshake.tune(channel);
            Hello hello =
                    ClosingDeadline.within(
                            Handshake.ANSWER_LIMIT, channel, "HELLO", () -> hello(channel));
            if (!greet(channel, hello, address)) {
                channel.close();
            }
        } catch (IOException | ProtocolException e) {
            // Some have no words: a channel that another thread closed.
            LOG.info("event=connection-refused reason=\"{}\"", e.toString());
            try {
                channel.close();
            } catch (IOException closing) {
                LOG.debug("event=link-close reason=\"{}\"", closing.getMessage());
            }
        }
    }

    private static Hello hello(SocketChannel channel) throws IOException {
        return switch (Handshake.read(channel)) {
            case Hello hello -> hello;
            case LinkMessage other ->
                    throw new ProtocolException(
                            "link", 0, "first frame", "HELLO", Handshake.name(other));
        };
    }

    /** Whether somebody owns the channel now. */
    private boolean greet(SocketChannel channel, Hello hello, String address) throws IOException {
        if (!hello.versions().contains(LinkMessage.PROTOCOL_VERSION)) {
            return refuse(
                    channel,
                    RefusalReason.VERSION,
                    "protocol versions: node "
                            + hello.nodeName()
                            + " (Holdfast "
                            + hello.softwareVersion()
                            + ") speaks "
                            + hello.versions()
                            + ", node "
                            + self.name()
                            + " (Holdfast "
                            + self.softwareVersion()
                            + ") speaks ["
                            + LinkMessage.PROTOCOL_VERSION
                            + "]; run the same release on both");
        }
        if (hello.nodeId().equals(self.id())) {
            return refuse(
                    channel,
                    RefusalReason.SAME_NODE,
                    "node " + self.name() + " cannot be its own peer; name another node");
        }
        return switch (hello.kind()) {
            case CONTROL -> control(channel, hello, address);
            case BULK, INBOUND, DISK -> data(channel, hello);
            case INQUIRY -> inquiry(channel, hello);
            case MIGRATION -> migration(channel, hello, address);
        };
    }

    private boolean refuse(SocketChannel channel, RefusalReason reason, String text)
            throws IOException {
        LOG.info("event=connection-refused reason=\"{}\"", text);
        Handshake.write(channel, new LinkMessage.Refused(reason, LinkMessage.clip(text)));
        return false;
    }

    private void welcome(SocketChannel channel) throws IOException {
        welcome(channel, LinkMessage.PROTOCOL_VERSION);
    }

    private void welcome(SocketChannel channel, int version) throws IOException {
        Handshake.write(
                channel,
                new LinkMessage.Welcome(version, self.softwareVersion(), self.name(), self.id()));
    }

    private boolean control(SocketChannel channel, Hello hello, String address) throws IOException {
        welcome(channel);
        Optional<LinkMessage.StayProtected> staying = Optional.empty();
        LinkMessage request = request(channel);
        if (request instanceof LinkMessage.StayProtected stay) {
            staying = Optional.of(stay);
            request = request(channel);
        }
        if (!(request instanceof LinkMessage.OpenSession session)
                || !session.session().equals(hello.session())) {
            throw new ProtocolException(
                    "link from " + address,
                    ProtocolException.OFFSET_UNKNOWN,
                    "frame after WELCOME",
                    "OPEN_SESSION of session " + hello.session(),
                    Handshake.name(request));
        }
        return switch (accepter.decide(hello, address, session, staying)) {
            case SessionAccepter.Decision.Refused(String text) -> {
                Handshake.write(channel, new LinkMessage.SessionRefused(LinkMessage.clip(text)));
                yield false;
            }
            case SessionAccepter.Decision.Accepted accepted -> {
                openSession(channel, hello, session, accepted);
                yield true;
            }
        };
    }

    private static LinkMessage request(SocketChannel channel) throws IOException {
        return ClosingDeadline.within(
                Handshake.ANSWER_LIMIT, channel, "OPEN_SESSION", () -> Handshake.read(channel));
    }

    private void openSession(
            SocketChannel channel,
            Hello hello,
            LinkMessage.OpenSession session,
            SessionAccepter.Decision.Accepted accepted)
            throws IOException {
        UUID id = session.session();
        try {
            TcpSecondaryLink link =
                    new TcpSecondaryLink(
                            channel,
                            hello.nodeName(),
                            session,
                            accepted.post(),
                            accepted.inbound(),
                            accepted.disks(),
                            () -> sessions.remove(id));
            if (sessions.putIfAbsent(id, link) != null) {
                throw new IOException("session " + id + " is open already");
            }
            announce(channel, id, link);
            link.start();
            accepted.opened().accept(link);
        } catch (IOException e) {
            accepted.failed().accept("node " + hello.nodeName() + " went away: " + e.getMessage());
            throw e;
        }
    }

    /** The link is known by now: the primary's next connections come at once. */
    private void announce(SocketChannel channel, UUID id, TcpSecondaryLink link)
            throws IOException {
        try {
            Handshake.write(channel, new LinkMessage.SessionAccepted());
        } catch (IOException e) {
            sessions.remove(id, link);
            throw e;
        }
    }

    private boolean migration(SocketChannel channel, Hello hello, String address)
            throws IOException {
        welcome(channel);
        LinkMessage request =
                ClosingDeadline.within(
                        Handshake.ANSWER_LIMIT,
                        channel,
                        "OPEN_MIGRATION",
                        () -> Handshake.read(channel));
        if (!(request instanceof LinkMessage.OpenMigration migration)
                || !migration.migration().equals(hello.session())) {
            throw new ProtocolException(
                    "link from " + address,
                    ProtocolException.OFFSET_UNKNOWN,
                    "frame after WELCOME",
                    "OPEN_MIGRATION of migration " + hello.session(),
                    Handshake.name(request));
        }
        return switch (migrationAccepter.decide(hello, address, migration)) {
            case MigrationAccepter.Decision.Refused(String text) -> {
                Handshake.write(channel, new LinkMessage.SessionRefused(LinkMessage.clip(text)));
                yield false;
            }
            case MigrationAccepter.Decision.Possible(Optional<AcceptCookie> copies) -> {
                Handshake.write(channel, accepted(copies));
                yield false;
            }
            case MigrationAccepter.Decision.Accepted accepted -> {
                openMigration(channel, hello, migration, accepted);
                yield true;
            }
        };
    }

    private static LinkMessage accepted(Optional<AcceptCookie> copies) {
        return copies.<LinkMessage>map(
                        cookie -> new LinkMessage.MigrationAccepted(CookieJson.write(cookie)))
                .orElseGet(LinkMessage.SessionAccepted::new);
    }

    private void openMigration(
            SocketChannel channel,
            Hello hello,
            LinkMessage.OpenMigration migration,
            MigrationAccepter.Decision.Accepted accepted)
            throws IOException {
        UUID id = migration.migration();
        try {
            TcpDestinationLink link =
                    new TcpDestinationLink(
                            channel,
                            hello.nodeName(),
                            migration,
                            accepted.memory(),
                            accepted.disks(),
                            accepted.post(),
                            () -> migrations.remove(id));
            if (migrations.putIfAbsent(id, link) != null) {
                throw new IOException("migration " + id + " is open already");
            }
            try {
                Handshake.write(channel, accepted(accepted.copies()));
            } catch (IOException e) {
                migrations.remove(id, link);
                link.freePages();
                throw e;
            }
            link.start();
            accepted.opened().accept(link);
        } catch (IOException e) {
            accepted.failed().accept("node " + hello.nodeName() + " went away: " + e.getMessage());
            throw e;
        }
    }

    private boolean data(SocketChannel channel, Hello hello) throws IOException {
        // The migration may still be saying goodbye.
        Optional<Consumer<InboundFrames>> late =
                hello.kind() == ConnectionKind.INBOUND
                        ? migrationAccepter.pauseFrames(hello.session())
                        : Optional.empty();
        if (late.isPresent()) {
            welcome(channel);
            late.get().accept(LateFrames.receive(channel));
            return false;
        }
        int version =
                hello.kind() == ConnectionKind.BULK
                                && hello.versions().contains(LinkMessage.FRAMED_BULK_VERSION)
                                && PackedInput.available()
                        ? LinkMessage.FRAMED_BULK_VERSION
                        : LinkMessage.PROTOCOL_VERSION;
        TcpDestinationLink migration = migrations.get(hello.session());
        if (migration != null) {
            boolean joined =
                    switch (hello.kind()) {
                        case BULK -> migration.attachBulk(channel, version);
                        case DISK -> migration.attachDisk(channel);
                        case CONTROL, INBOUND, INQUIRY, MIGRATION -> false;
                    };
            if (joined) {
                welcome(channel, version);
                return true;
            }
            return refuse(
                    channel,
                    RefusalReason.SESSION,
                    "migration "
                            + hello.session()
                            + " expects no further "
                            + hello.kind()
                            + " connection");
        }
        TcpSecondaryLink link = sessions.get(hello.session());
        boolean attached =
                link != null
                        && switch (hello.kind()) {
                            case BULK -> link.attachBulk(channel, version);
                            case INBOUND -> link.attachInbound(channel);
                            case DISK -> link.attachDisk(channel);
                            case CONTROL, INQUIRY, MIGRATION -> false;
                        };
        if (!attached) {
            return refuse(
                    channel,
                    RefusalReason.SESSION,
                    "session " + hello.session() + " expects no " + hello.kind() + " connection");
        }
        welcome(channel, version);
        return true;
    }

    private boolean inquiry(SocketChannel channel, Hello hello) throws IOException {
        welcome(channel);
        LinkMessage request =
                ClosingDeadline.within(
                        Handshake.ANSWER_LIMIT, channel, "INQUIRE", () -> Handshake.read(channel));
        if (!(request instanceof LinkMessage.Inquire inquiry)) {
            throw new ProtocolException(
                    "link",
                    ProtocolException.OFFSET_UNKNOWN,
                    "frame after WELCOME",
                    "INQUIRE",
                    Handshake.name(request));
        }
        Handshake.write(
                channel,
                migrationAccepter
                        .answer(hello, inquiry)
                        .orElseGet(() -> accepter.answer(hello, inquiry)));
        return false;
    }

    @Override
    public void close() throws IOException {
        server.close();
        Joining.join(thread, TimeUnit.SECONDS.toNanos(2));
    }
}
