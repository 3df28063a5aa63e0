package holdfast.qemu.state;

import holdfast.engine.HypervisorException;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpCommand;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;

/**
 * Gives a QEMU that was started with {@code -incoming defer} its state, once. The RAM blocks
 * outside main memory may go ahead while the guest still runs elsewhere, and the device sections
 * come in parts, which QEMU loads as they come. The very last byte is held back until somebody
 * knows that they are whole: without it QEMU has loaded nothing, and has opened no image.
 *
 * <pre>
 *  ahead   "QEVM" u32:3  start("ram" blocks)  part(pages)*
 *  in parts                                                 end(pages)  full(device)*
 *  in parts, where the pages have changed     part(pages)*  end(pages)  full(device)*
 *  when they are whole                                                                 0x00
 * </pre>
 *
 * One thread.
 */
public final class IncomingLoader implements AutoCloseable {
    private static final String COMMAND = "migrate-incoming";
    private static final Duration OFFER_LIMIT = Duration.ofSeconds(5);

    /** For QEMU to say why it reads no more. */
    private static final Duration VERDICT_LIMIT = Duration.ofSeconds(1);

    /** QEMU's own default. */
    private static final int ANNOUNCEMENTS = 5;

    private final QmpClient qmp;
    private final Path socket;
    private final SocketChannel channel;
    private final QmpClient.ExpectedEvent over;
    private Optional<Offered> offered = Optional.empty();
    private Optional<MemorySegment> held = Optional.empty();
    private long sectionsBytes;

    /** What went ahead, and what it says. */
    private record Offered(MemorySegment base, StateStream stream) {}

    private IncomingLoader(QmpClient qmp, Path socket, SocketChannel channel) {
        this.qmp = qmp;
        this.socket = socket;
        this.channel = channel;
        // From here on: it may fail over any part.
        this.over = qmp.expect("MIGRATION", event -> isOver(event.data().path("status").asText()));
    }

    /**
     * Makes QEMU listen and connects to it.
     *
     * @param socket where QEMU shall listen; a leftover of this name is removed
     */
    public static IncomingLoader open(QmpClient qmp, Path socket) {
        MigrationSettings.events(qmp, MigrationSettings.Switch.ON);
        MigrationSettings.ignoreShared(qmp, MigrationSettings.Switch.ON);
        // Nothing of this copy may be heard before it has the domain.
        MigrationSettings.announcements(qmp, 0);
        try (QmpClient.ExpectedEvent listens =
                qmp.expect(
                        "MIGRATION",
                        event -> event.data().path("status").asText().equals("setup"))) {
            Files.deleteIfExists(socket);
            qmp.execute(COMMAND, Map.of("uri", "unix:" + socket));
            listens.await(OFFER_LIMIT);
            SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
            try {
                channel.connect(UnixDomainSocketAddress.of(socket));
                channel.configureBlocking(false);
                return new IncomingLoader(qmp, socket, channel);
            } catch (IOException e) {
                channel.close();
                throw e;
            }
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot connect to " + socket, e);
        }
    }

    /**
     * Sends what is known of the base.
     *
     * @param base a stream up to its cut; must stay valid until {@link #load}
     */
    public void offer(MemorySegment base) {
        if (offered.isPresent()) {
            return;
        }
        StateStream stream = StateStream.parse(base);
        write(deadline(OFFER_LIMIT), base.asSlice(0, stream.endOffset()));
        offered = Optional.of(new Offered(base, stream));
    }

    /**
     * Sends more of the device sections, all but their last byte. Main memory must be complete.
     *
     * @param base the newest; looked at with the first part
     * @param part not empty; must stay valid until the next part, or {@link #load}
     * @throws HypervisorException if it is none, or QEMU does not take it; it is of no use then
     */
    public void offerSections(MemorySegment base, MemorySegment part) {
        MemorySegment devices = part;
        MemorySegment before;
        if (held.isPresent()) {
            before = held.get();
        } else {
            StateSplice.requireBase(base);
            StateSplice.requireFront(part);
            before = base.asSlice(from(base));
            devices = part.asSlice(StateStream.HEADER_BYTES);
        }
        long last = devices.byteSize() - 1;
        write(deadline(OFFER_LIMIT), before, devices.asSlice(0, last));
        held = Optional.of(devices.asSlice(last));
        sectionsBytes += part.byteSize();
    }

    /**
     * Sends the last byte and returns when QEMU has loaded everything. The guest is stopped.
     *
     * @return bytes of the device sections
     * @throws HypervisorException with QEMU's words if it does not take it; it is of no use then
     */
    public long load(Duration limit) {
        MemorySegment last =
                held.orElseThrow(
                        () -> new HypervisorException(COMMAND, "no device sections arrived"));
        StateSplice.requireEnd(last, sectionsBytes);
        if (over.hasCome()) {
            throw over();
        }
        write(deadline(limit), last);
        end();
        // Read while it loads.
        qmp.prime(QmpCommand.CONTINUE);
        requireCompleted(limit);
        return sectionsBytes;
    }

    /** One that expects a description of the stream behind it finds none. */
    private void end() {
        try {
            channel.shutdownOutput();
        } catch (IOException e) {
            throw untaken(new HypervisorException(COMMAND, "cannot end " + socket, e));
        }
    }

    /** What QEMU says of a load that it has ended by itself, before it had the last byte. */
    private HypervisorException over() {
        requireCompleted(VERDICT_LIMIT);
        return new HypervisorException(
                COMMAND,
                "QEMU ended its load before the end of the device state, of which "
                        + sectionsBytes
                        + " bytes arrived: they hold an end of their own, and are none that a QEMU"
                        + " saved");
    }

    private void requireCompleted(Duration limit) {
        String status = over.await(limit).data().path("status").asText();
        if (!status.equals("completed")) {
            throw new HypervisorException(COMMAND, status + ": " + reason());
        }
    }

    private long from(MemorySegment base) {
        if (offered.isEmpty()) {
            return 0;
        }
        StateStream before = offered.get().stream();
        if (offered.get().base() == base || offered.get().base().mismatch(base) < 0) {
            return before.endOffset();
        }
        StateStream stream = StateStream.parse(base);
        if (!before.blocks().equals(stream.blocks())) {
            throw new HypervisorException(
                    COMMAND,
                    "a device came or went during the migration: found RAM blocks "
                            + stream.blocks()
                            + " after "
                            + before.blocks()
                            + "; start it again");
        }
        return stream.pagesOffset();
    }

    private String reason() {
        return qmp.closedBecause().isPresent()
                ? qmp.closedBecause().get()
                : qmp.execute("query-migrate").path("error-desc").asText("no reason");
    }

    private static boolean isOver(String status) {
        return status.equals("completed") || status.equals("failed");
    }

    private static long deadline(Duration limit) {
        return System.nanoTime() + limit.toNanos();
    }

    private void write(long until, MemorySegment... bytes) {
        ByteBuffer[] left = new ByteBuffer[bytes.length];
        for (int i = 0; i < left.length; i++) {
            left[i] = bytes[i].asByteBuffer();
        }
        try {
            long bytesLeft = Arrays.stream(left).mapToLong(ByteBuffer::remaining).sum();
            bytesLeft -= channel.write(left);
            if (bytesLeft == 0) {
                return;
            }
            try (Selector selector = Selector.open()) {
                channel.register(selector, SelectionKey.OP_WRITE);
                while (bytesLeft > 0) {
                    long millis = (until - System.nanoTime()) / 1_000_000;
                    if (millis <= 0 || selector.select(millis) == 0) {
                        throw new IOException("QEMU takes nothing");
                    }
                    selector.selectedKeys().clear();
                    bytesLeft -= channel.write(left);
                }
            }
        } catch (IOException e) {
            throw untaken(
                    new HypervisorException(
                            COMMAND, "cannot write to " + socket + ": " + e.getMessage(), e));
        }
    }

    /** QEMU reads no more because it has failed, and tells of that in another place. */
    private HypervisorException untaken(HypervisorException said) {
        HypervisorException verdict;
        try {
            verdict = over();
        } catch (HypervisorException e) {
            verdict = e;
        }
        if (qmp.closedBecause().isPresent()) {
            // It has no more to say than that it is gone.
            said.addSuppressed(verdict);
            return said;
        }
        verdict.addSuppressed(said);
        return verdict;
    }

    /** Puts QEMU's settings back; the guest may run. */
    @Override
    public void close() {
        try {
            if (qmp.closedBecause().isEmpty()) {
                MigrationSettings.ignoreShared(qmp, MigrationSettings.Switch.OFF);
                MigrationSettings.announcements(qmp, ANNOUNCEMENTS);
            }
        } finally {
            discard();
        }
    }

    /** Lets go without a word to QEMU, which is gone or about to be. */
    public void discard() {
        try (channel;
                over) {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot remove " + socket, e);
        }
    }
}
