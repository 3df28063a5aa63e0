package holdfast.node.link;

import holdfast.wire.ProtocolException;
import holdfast.wire.link.ConnectionKind;
import holdfast.wire.link.LinkMessage;

import java.io.IOException;
import java.time.Duration;

/** Asks another node whether a domain could move there. Nothing begins by that. */
public final class MigrationInquiry {
    /** It looks at images. */
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private MigrationInquiry() {}

    /**
     * @param migration whose cookie says that it only asks
     * @return what would travel
     * @throws LinkRefusedException if it could not, and why
     * @throws IOException if that node cannot be reached
     * @throws ProtocolException if what answers is no node
     */
    public static AcceptCookie ask(
            NodeAddress address, NodeIdentity self, LinkMessage.OpenMigration migration)
            throws IOException {
        Handshake.Opened opened =
                Handshake.open(address, self, ConnectionKind.MIGRATION, migration.migration());
        try (var channel = opened.channel()) {
            return ClosingDeadline.within(
                    LIMIT,
                    channel,
                    address + " does not answer OPEN_MIGRATION",
                    () -> TcpSourceLink.ask(address, channel, migration));
        }
    }
}
