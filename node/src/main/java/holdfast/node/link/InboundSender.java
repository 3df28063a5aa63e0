package holdfast.node.link;

import holdfast.wire.Bytes;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Sends frames toward the guest to the secondary. A slow or broken connection drops frames and
 * counts them: each costs a retransmission after a fail-over, nothing more.
 */
final class InboundSender {
    private static final Logger LOG = LoggerFactory.getLogger(InboundSender.class);

    private static final int FRAMES_MAX = 4096;
    private static final long BYTES_MAX = 8 << 20;
    private static final int BATCH_FRAMES = 64;

    private final SocketChannel channel;
    private final String peer;
    private final LinkedBlockingQueue<ByteBuffer> queue = new LinkedBlockingQueue<>(FRAMES_MAX);
    private final AtomicLong queuedBytes = new AtomicLong();
    private final AtomicLong dropped = new AtomicLong();
    private final Thread thread;
    private volatile boolean ended;

    InboundSender(SocketChannel channel, String peer) {
        this.channel = channel;
        this.peer = peer;
        thread = Thread.ofPlatform().name("link-inbound-" + peer).daemon().unstarted(this::run);
    }

    void start() {
        thread.start();
    }

    /** Never blocks. {@code frame} is borrowed for the call. */
    void send(long epoch, int nic, int vnetHeaderBytes, ByteBuffer frame) {
        int bytes = frame.remaining();
        if (ended
                || bytes == 0
                || bytes > LinkMessage.FRAME_BYTES_MAX
                || queuedBytes.get() + bytes > BYTES_MAX) {
            dropped.incrementAndGet();
            return;
        }
        ByteBuffer encoded =
                LinkCodec.encode(
                        new LinkMessage.InboundFrame(
                                epoch,
                                nic,
                                vnetHeaderBytes,
                                Bytes.copyOf(MemorySegment.ofBuffer(frame))));
        if (queue.offer(encoded)) {
            queuedBytes.addAndGet(encoded.remaining());
        } else {
            dropped.incrementAndGet();
        }
    }

    long dropped() {
        return dropped.get();
    }

    private void run() {
        List<ByteBuffer> batch = new ArrayList<>(BATCH_FRAMES);
        try {
            while (!ended) {
                ByteBuffer first = queue.poll(1, TimeUnit.SECONDS);
                if (first == null) {
                    continue;
                }
                batch.add(first);
                queue.drainTo(batch, BATCH_FRAMES - 1);
                write(batch.toArray(ByteBuffer[]::new));
                batch.clear();
            }
        } catch (IOException e) {
            if (!ended) {
                LOG.warn(
                        "event=inbound-ended peer={} reason=\"{}\" effect=\"a fail-over waits for"
                                + " retransmissions\"",
                        peer,
                        e.getMessage());
            }
        } catch (InterruptedException e) {
            // Only close() interrupts.
            Thread.currentThread().interrupt();
        } finally {
            ended = true;
        }
    }

    private void write(ByteBuffer[] frames) throws IOException {
        long bytes = 0;
        for (ByteBuffer frame : frames) {
            bytes += frame.remaining();
        }
        for (long left = bytes; left > 0; ) {
            left -= channel.write(frames);
        }
        queuedBytes.addAndGet(-bytes);
    }

    void close(long limitNanos) throws IOException {
        ended = true;
        try (channel) {
            thread.interrupt();
        }
        Joining.join(thread, limitNanos);
    }
}
