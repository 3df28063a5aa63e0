package holdfast.node;

import holdfast.node.nbd.NbdExport;

import java.time.Duration;
import java.util.function.UnaryOperator;

/**
 * How the disks of a node's domains are mirrored.
 *
 * @param stall a first copy that did not move for so long does not move any more
 * @param hang QEMU waits no longer than this for what it mirrors to, before writes are taken
 *     without being forwarded, and {@link HangWatch#GRACE} more before its connections are cut;
 *     with a reserve for the latter shorter than its monitor's limit, at which a suspend counts as
 *     failed
 * @param served what is served in place of an export: that export itself, but for tests of what
 *     happens when it fails
 */
record Mirroring(Duration stall, Duration hang, UnaryOperator<NbdExport> served) {
    static final Mirroring DEFAULT =
            new Mirroring(Duration.ofSeconds(30), Duration.ofSeconds(6), UnaryOperator.identity());
}
