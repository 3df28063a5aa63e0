package holdfast.node.link;

import holdfast.engine.port.PrimaryLink.BulkPiece;
import holdfast.qemu.linux.PauseThreads;

import java.io.IOException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** Runs the pieces of the bulk stream on a thread of its own, one after another. */
final class BulkSender {
    /**
     * A device state may come in so many parts while the last pages wait for the link: all that is
     * saved at most, by the least that makes a part. Else the engine has a few pieces on their way.
     */
    static final int PIECES_MAX = 1 << 16;

    private final LinkedBlockingQueue<BulkPiece> pieces = new LinkedBlockingQueue<>(PIECES_MAX);
    private final Consumer<String> broken;
    private final Thread thread;
    private volatile boolean closed;

    /**
     * @param broken hears once, on the sender's thread, why no piece will leave any more
     */
    BulkSender(String peer, Consumer<String> broken) {
        this.broken = broken;
        thread =
                Thread.ofPlatform()
                        .name("link-bulk-" + peer)
                        .daemon()
                        .unstarted(PauseThreads.body(this::run));
    }

    void start() {
        thread.start();
    }

    Thread thread() {
        return thread;
    }

    void transmit(BulkPiece piece) {
        if (!closed && !pieces.offer(piece)) {
            throw new IllegalStateException(PIECES_MAX + " pieces of the bulk stream wait already");
        }
    }

    private void run() {
        try {
            while (!closed) {
                BulkPiece piece = pieces.poll(1, TimeUnit.SECONDS);
                if (piece != null) {
                    piece.write();
                }
            }
        } catch (IOException e) {
            if (!closed) {
                broken.accept("the bulk connection broke: " + e.getMessage());
            }
        } catch (InterruptedException e) {
            // Only close() interrupts: nothing is left to send.
            Thread.currentThread().interrupt();
        } catch (RuntimeException | Error e) {
            // Whatever it was: a thread that ends without a word would leave the session waiting.
            broken.accept("a checkpoint could not be encoded: " + e);
        }
    }

    /**
     * From here on a failure of the connection is expected; the caller closes the channel next,
     * then joins.
     */
    void expectEnd() {
        closed = true;
    }

    void join(long limitNanos) {
        closed = true;
        thread.interrupt();
        Joining.join(thread, limitNanos);
    }
}
