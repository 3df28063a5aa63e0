package holdfast.engine.port;

/**
 * Stands between a running domain's NICs and the network: output passes only when its epoch is
 * released. Frames toward the guest are not touched. Called by the session's thread; frames arrive
 * on threads of the gate's own.
 */
public interface OutputGate extends AutoCloseable {
    /**
     * Only while the domain is suspended: every frame sent so far and not yet assigned belongs to
     * {@code epoch}. A second call for one epoch adds to it.
     */
    void closeEpoch(long epoch);

    /**
     * Lets the frames of all epochs up to and including {@code epoch} out, in the order the guest
     * sent them. Does not block on the network.
     */
    void release(long epoch);

    /** What is held now. */
    Held held();

    /**
     * Ends holding in order: releases everything held, then takes the gate out of the running
     * domain so that its output flows by itself. Nothing is lost, order is kept. Where it fails,
     * nothing is lost either, and it may be called again.
     */
    void detach();

    /**
     * Gives up what is held without letting it out, and frees the gate's resources; for a domain
     * that must not speak any more. No effect after {@link #detach}.
     */
    @Override
    void close();

    /** A gate that holds nothing, for a domain whose network nobody minds. */
    static OutputGate open() {
        return new OutputGate() {
            @Override
            public void closeEpoch(long epoch) {}

            @Override
            public void release(long epoch) {}

            @Override
            public Held held() {
                return new Held(0, 0, 0, 0, 0);
            }

            @Override
            public void detach() {}

            @Override
            public void close() {}
        };
    }

    /**
     * @param frames number of frames held
     * @param bytes their bytes
     * @param bytesPeak the most bytes ever held at once
     * @param bytesMax the bound: at this many bytes the gate asks for a checkpoint and, where none
     *     comes, drops the newest frames as a full NIC queue would
     * @param framesDropped frames dropped for want of room
     */
    record Held(long frames, long bytes, long bytesPeak, long bytesMax, long framesDropped) {}
}
