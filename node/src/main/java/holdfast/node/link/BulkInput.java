package holdfast.node.link;

import holdfast.wire.link.LinkMessage;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SocketChannel;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The bulk stream on the secondary, before its connection has come in and after it has gone. Its
 * end is not passed on before CONTROL had time to say what it means.
 */
final class BulkInput implements ReadableByteChannel {
    private static final long ARRIVAL_NANOS = TimeUnit.SECONDS.toNanos(15);

    /** What became of the connection. */
    private sealed interface Stage {
        record Expected() implements Stage {}

        record Attached(SocketChannel channel) implements Stage {}

        record Closed() implements Stage {}
    }

    private final Consumer<String> broken;
    private final CountDownLatch changed = new CountDownLatch(1);
    private final ReadableByteChannel connection = new Connection();
    private Optional<PackedInput> unpacking = Optional.empty();
    private Stage stage = new Stage.Expected();

    /**
     * @param broken called once on the reading thread when the stream ended though nobody here
     *     closed it; returns when it is settled what that means
     */
    BulkInput(Consumer<String> broken) {
        this.broken = broken;
    }

    /**
     * Whether the connection was expected and is now this one.
     *
     * @param version what is spoken on it
     */
    synchronized boolean attach(SocketChannel channel, int version) {
        if (!(stage instanceof Stage.Expected)) {
            return false;
        }
        if (version == LinkMessage.FRAMED_BULK_VERSION) {
            unpacking = Optional.of(new PackedInput(connection));
        }
        stage = new Stage.Attached(channel);
        changed.countDown();
        return true;
    }

    @Override
    public int read(ByteBuffer target) throws IOException {
        if (!Joining.await(changed, ARRIVAL_NANOS)) {
            broken.accept(
                    "no BULK connection came within "
                            + TimeUnit.NANOSECONDS.toSeconds(ARRIVAL_NANOS)
                            + " s");
            return -1;
        }
        Optional<PackedInput> frames = unpacking();
        return frames.isPresent() ? frames.get().read(target) : fromConnection(target);
    }

    private synchronized Optional<PackedInput> unpacking() {
        return unpacking;
    }

    private int fromConnection(ByteBuffer target) throws IOException {
        int count;
        try {
            count = channel().read(target);
        } catch (IOException e) {
            if (isOpen()) {
                broken.accept("the bulk connection broke: " + e.getMessage());
            }
            throw e;
        }
        if (count < 0) {
            broken.accept("the bulk connection ended");
        }
        return count;
    }

    private synchronized SocketChannel channel() throws ClosedChannelException {
        if (stage instanceof Stage.Attached(SocketChannel channel)) {
            return channel;
        }
        throw new ClosedChannelException();
    }

    /** Gives back what unpacking took, once nobody reads any more. */
    synchronized void free() {
        unpacking.ifPresent(PackedInput::free);
    }

    /** The bytes as they come. */
    private final class Connection implements ReadableByteChannel {
        @Override
        public int read(ByteBuffer target) throws IOException {
            return fromConnection(target);
        }

        @Override
        public boolean isOpen() {
            return BulkInput.this.isOpen();
        }

        @Override
        public void close() throws IOException {
            BulkInput.this.close();
        }
    }

    @Override
    public synchronized boolean isOpen() {
        return !(stage instanceof Stage.Closed);
    }

    @Override
    public void close() throws IOException {
        Stage was;
        synchronized (this) {
            was = stage;
            stage = new Stage.Closed();
        }
        changed.countDown();
        if (was instanceof Stage.Attached(SocketChannel channel)) {
            channel.close();
        }
    }
}
