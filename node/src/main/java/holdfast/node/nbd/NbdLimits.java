package holdfast.node.nbd;

import java.time.Duration;

/**
 * What a server bears from its clients.
 *
 * @param connectionsMax connections that have chosen an export, of all exports together; each takes
 *     about {@code 2 * NbdServer.PIECE_BYTES} of memory
 * @param handshakesMax connections that have not yet
 * @param handshake time from connecting to the choice of an export, TLS included
 * @param stall time without a byte, in the middle of a request or while replies wait to be taken;
 *     between requests a client may be silent for ever
 */
public record NbdLimits(int connectionsMax, int handshakesMax, Duration handshake, Duration stall) {
    public static final NbdLimits DEFAULT =
            new NbdLimits(64, 32, Duration.ofSeconds(10), Duration.ofSeconds(60));

    public NbdLimits {
        if (connectionsMax < 1 || handshakesMax < 1) {
            throw new IllegalArgumentException("at least one connection must be allowed");
        }
        if (!handshake.isPositive() || !stall.isPositive()) {
            throw new IllegalArgumentException("limits of time must be positive");
        }
    }
}
