package holdfast.node.link;

import holdfast.engine.port.ReplicaDisks;
import holdfast.engine.remus.SecondaryEvent;
import holdfast.wire.link.LinkMessage;

import java.util.Optional;
import java.util.function.Consumer;

/**
 * Decides on sessions other nodes ask for. Called on threads of the listener, which may block for a
 * moment.
 */
public interface SessionAccepter {
    /** The answer to OPEN_SESSION. */
    sealed interface Decision {
        /**
         * The session can be.
         *
         * @param post where the link's events go; may be called before {@code opened}
         * @param inbound where frames toward the guest go
         * @param disks where disk writes go; empty where the session has no disks
         * @param opened gets the link once SESSION_ACCEPTED is sent; owns it from then on
         * @param failed called instead of {@code opened} when the primary went away meanwhile
         */
        record Accepted(
                Consumer<SecondaryEvent> post,
                InboundSink inbound,
                Optional<ReplicaDisks> disks,
                Consumer<TcpSecondaryLink> opened,
                Consumer<String> failed)
                implements Decision {}

        /** It cannot; {@code text} says why and what to do. */
        record Refused(String text) implements Decision {}
    }

    /**
     * @param peer who asks
     * @param address where it asks from, {@code host:port}
     * @param staying what a survivor is to do so that the domain stays protected
     */
    Decision decide(
            LinkMessage.Hello peer,
            String address,
            LinkMessage.OpenSession session,
            Optional<LinkMessage.StayProtected> staying);

    /**
     * What became of a session; for {@code DISMISS} the replica is discarded first unless it runs.
     */
    LinkMessage.Answer answer(LinkMessage.Hello peer, LinkMessage.Inquire inquiry);
}
