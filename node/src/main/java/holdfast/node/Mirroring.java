package holdfast.node;

import holdfast.node.nbd.NbdExport;

import java.time.Duration;
import java.util.function.UnaryOperator;

/**
 * How the disks of a node's domains are mirrored.
 *
 * @param stall a first copy that comes no nearer to its end for so long is given up
 * @param hang for so long QEMU may wait for what it mirrors to; then writes are taken without being
 *     forwarded, and {@link HangWatch#GRACE} later its connections are cut. Both together are
 *     shorter than the limit of its monitor, at which a suspend counts as failed
 * @param served what is served in place of an export: that export itself, but for tests of what
 *     happens when it fails
 */
record Mirroring(Duration stall, Duration hang, UnaryOperator<NbdExport> served) {
    static final Mirroring DEFAULT =
            new Mirroring(Duration.ofSeconds(30), Duration.ofSeconds(6), UnaryOperator.identity());
}
