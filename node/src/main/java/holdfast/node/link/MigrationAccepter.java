package holdfast.node.link;

import holdfast.engine.migrate.DestinationEvent;
import holdfast.engine.port.DiskWrites;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.InboundFrames;
import holdfast.wire.link.LinkMessage;

import java.util.Optional;
import java.util.UUID;
import java.util.function.Consumer;

/**
 * Decides on migrations other nodes ask for. Called on threads of the listener, which may block for
 * a moment.
 */
public interface MigrationAccepter {
    /** The answer to OPEN_MIGRATION. */
    sealed interface Decision {
        /**
         * The domain may come.
         *
         * @param memory where its pages go, zero-filled
         * @param copies disks that must travel; empty where the source cannot send any
         * @param disks where they go; present where some must
         * @param post where the link's events go
         * @param opened gets the link once the source has its answer; owns it from then on
         * @param failed called instead of {@code opened} when the source went away meanwhile
         */
        record Accepted(
                GuestMemory memory,
                Optional<AcceptCookie> copies,
                Optional<DiskWrites> disks,
                Consumer<DestinationEvent> post,
                Consumer<TcpDestinationLink> opened,
                Consumer<String> failed)
                implements Decision {}

        /**
         * It could come, which is all that was asked.
         *
         * @param copies as in {@link Accepted}
         */
        record Possible(Optional<AcceptCookie> copies) implements Decision {}

        /** It may not; {@code text} says why and what to do. Nothing was changed. */
        record Refused(String text) implements Decision {}
    }

    Decision decide(LinkMessage.Hello peer, String address, LinkMessage.OpenMigration migration);

    /** What became of a migration; empty where this is none of its own. */
    Optional<LinkMessage.Answer> answer(LinkMessage.Hello peer, LinkMessage.Inquire inquiry);

    /**
     * Where frames go that came to the guest of a migration in its pause; once, and empty where
     * that migration is not known.
     */
    default Optional<Consumer<InboundFrames>> pauseFrames(UUID migration) {
        return Optional.empty();
    }

    /** Of a node that takes no domains in. */
    static MigrationAccepter none() {
        return new MigrationAccepter() {
            @Override
            public Decision decide(
                    LinkMessage.Hello peer, String address, LinkMessage.OpenMigration migration) {
                return new Decision.Refused("this node takes no domains in");
            }

            @Override
            public Optional<LinkMessage.Answer> answer(
                    LinkMessage.Hello peer, LinkMessage.Inquire inquiry) {
                return Optional.empty();
            }
        };
    }
}
