package holdfast.sim.link;

/**
 * How a simulated link behaves where nothing is wrong with it. Times are in virtual nanoseconds.
 *
 * @param delayNanos from one node to the other
 * @param jitterNanos added at random to each piece; pieces of one connection stay in order, the two
 *     connections are not ordered against each other
 * @param nanosPerKib time a KiB of bulk takes
 * @param windowBytes bulk that may be under way or unread
 * @param chunkBytes largest piece of bulk that arrives at once
 * @param heartbeatNanos between two heartbeats
 * @param deadlineNanos silence after which a peer is lost
 */
public record LinkShape(
        long delayNanos,
        long jitterNanos,
        long nanosPerKib,
        int windowBytes,
        int chunkBytes,
        long heartbeatNanos,
        long deadlineNanos) {}
