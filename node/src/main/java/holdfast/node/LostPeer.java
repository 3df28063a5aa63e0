package holdfast.node;

import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryState;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.node.link.PeerInquiry;
import holdfast.node.session.RemusPrimary;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * What a primary still does about a secondary that it lost: while nobody has decided it asks what
 * became of the replica, for the network may come back before a person looks; once it goes on alone
 * it tells the secondary so, for a stale replica must not be taken over later.
 */
final class LostPeer {
    private static final Logger LOG = LoggerFactory.getLogger(LostPeer.class);
    private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final int TELL_TIMES = 150;

    private final NodeIdentity self;

    LostPeer(NodeIdentity self) {
        this.self = self;
    }

    /** Asks, on a thread of its own, until the session is decided. */
    void askWhileUndecided(RemusPrimary session) {
        Thread.ofVirtual()
                .name("ask-" + session.settings().opening().domain())
                .start(
                        () -> {
                            while (session.outcome().isEmpty()
                                    && session.fault().isEmpty()
                                    && session.state() instanceof PrimaryState.Deciding) {
                                ask(session);
                                LockSupport.parkNanos(PAUSE_NANOS);
                            }
                        });
    }

    private void ask(RemusPrimary session) {
        NodeAddress peer = session.settings().peer();
        try {
            LinkMessage.Answer answer =
                    PeerInquiry.ask(
                            peer,
                            self,
                            session.settings().opening().session(),
                            LinkMessage.Question.STANDING);
            switch (answer.standing()) {
                case TOOK_OVER ->
                        session.post(
                                new PrimaryEvent.PeerTookOver(
                                        "node "
                                                + peer
                                                + " took the domain over: "
                                                + answer.text()));
                case DISCARDED ->
                        session.post(
                                new PrimaryEvent.PeerClosed(
                                        "node "
                                                + peer
                                                + " discarded the replica: "
                                                + answer.text()));
                case UNDECIDED, UNKNOWN -> {}
            }
        } catch (IOException | ProtocolException e) {
            LOG.debug("event=peer-unreachable peer={} reason=\"{}\"", peer, e.getMessage());
        }
    }

    /**
     * Tells the secondary, on a thread of its own, that its replica is stale; for some minutes
     * where it does not answer.
     */
    void dismissLate(NodeAddress peer, UUID session) {
        Thread.ofVirtual()
                .name("dismiss-" + session)
                .start(
                        () -> {
                            for (int i = 0; i < TELL_TIMES && !told(peer, session); i++) {
                                LockSupport.parkNanos(PAUSE_NANOS);
                            }
                        });
    }

    private boolean told(NodeAddress peer, UUID session) {
        try {
            LinkMessage.Answer answer =
                    PeerInquiry.ask(peer, self, session, LinkMessage.Question.DISMISS);
            if (answer.standing() == Standing.TOOK_OVER) {
                LOG.error(
                        "event=two-copies session={} peer={} generation={} next=\"the domain runs"
                                + " on both nodes: destroy one copy\"",
                        session,
                        peer,
                        answer.generation());
            }
            return answer.standing() != Standing.UNDECIDED;
        } catch (IOException | ProtocolException e) {
            LOG.debug("event=peer-unreachable peer={} reason=\"{}\"", peer, e.getMessage());
            return false;
        }
    }
}
