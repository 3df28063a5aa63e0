package holdfast.engine.remus;

import holdfast.engine.memory.CheckpointReader;
import holdfast.engine.port.GuestMemory;
import holdfast.wire.ProtocolException;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.ReadableByteChannel;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;

/**
 * Hands checkpoints from the thread that reads the bulk stream to the one that owns the session.
 * The next checkpoint is read only when the last one is applied: until then the primary feels the
 * full socket.
 */
public final class CheckpointReceiver implements AutoCloseable {
    private final Consumer<SecondaryEvent> post;
    private final CheckpointReader reader;
    private final ReadableByteChannel bulk;
    private final Semaphore stageFree = new Semaphore(0);
    private volatile boolean stopped;

    /**
     * @param replica zero-filled
     * @param bulk the bulk stream, in blocking mode; the caller closes it to make {@link #run}
     *     return
     * @param post queues events for the session
     */
    public CheckpointReceiver(
            GuestMemory replica, ReadableByteChannel bulk, Consumer<SecondaryEvent> post) {
        this.post = post;
        this.bulk = bulk;
        this.reader = new CheckpointReader(replica, bulk);
    }

    /**
     * Reads checkpoint after checkpoint until the stream ends, breaks, or {@link #stop} is called;
     * says why to the session. Call once, on a thread that may block.
     */
    public void run() {
        try {
            for (long epoch = 0; !stopped; epoch++) {
                switch (reader.readCheckpoint()) {
                    case CheckpointReader.Read.Whole whole -> {
                        post.accept(
                                new SecondaryEvent.CheckpointArrived(
                                        epoch, whole.stateBytes(), whole.digest()));
                        // Bounded by the link: a lost peer ends the session, which calls stop().
                        stageFree.acquireUninterruptibly();
                    }
                    case CheckpointReader.Read.Ended(String where) -> {
                        post.accept(new SecondaryEvent.PeerLost("the bulk stream ended " + where));
                        return;
                    }
                }
            }
        } catch (ProtocolException e) {
            post.accept(new SecondaryEvent.PeerViolated(e.getMessage()));
        } catch (IOException e) {
            // After stop() it is this side that closed the stream.
            if (!stopped) {
                post.accept(new SecondaryEvent.PeerLost("the bulk stream broke: " + e));
            }
        } catch (RuntimeException | VirtualMachineError e) {
            // No memory, say: a thread that ends without a word would leave the primary waiting for
            // ever in its live stage. Said as a violation, since that ends a session which is
            // receiving, and means nothing to one that takes over.
            if (!stopped) {
                post.accept(
                        new SecondaryEvent.PeerViolated(
                                "this node could not take in the bulk stream: " + e));
            }
        }
    }

    /** Writes the arrived checkpoint to the replica and lets the next one in. Returns its pages. */
    long apply() {
        long pages = reader.apply();
        stageFree.release();
        return pages;
    }

    /** Lets nothing more in. What is staged and not applied never will be. */
    void stop() {
        stopped = true;
        stageFree.release();
        try {
            bulk.close();
        } catch (IOException e) {
            post.accept(new SecondaryEvent.PeerLost("the bulk stream could not be closed: " + e));
        }
    }

    /** RAM blocks outside main memory, of the last applied checkpoint. */
    MemorySegment base() {
        return reader.base();
    }

    /** Device sections of the last applied checkpoint. */
    MemorySegment sections() {
        return reader.sections();
    }

    /** Frees the stage. Only after {@link #run} has returned. */
    @Override
    public void close() {
        reader.close();
    }
}
