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
import java.io.UncheckedIOException;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * What a primary still does about a secondary that it lost: while nobody has decided it asks what
 * became of the replica, for the network may come back before a person looks; once it goes on alone
 * it tells the secondary so, for a stale replica must not be taken over later. That is told
 * whenever the secondary comes back, and by the next daemon if this one dies before.
 */
final class LostPeer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(LostPeer.class);
    static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(2);

    /** A host that is still off after some minutes is not in a hurry when it is back. */
    static final long LATER_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(30);

    static final int TELL_SOON_TIMES = 150;

    /** Asks a node about a session. */
    interface Inquiry {
        LinkMessage.Answer ask(NodeAddress peer, UUID session, LinkMessage.Question question)
                throws IOException;
    }

    /** Lets time pass. */
    interface Pause {
        /** Returns whether there is any reason to go on after it. */
        boolean pass(long nanos) throws InterruptedException;
    }

    private final StaleReplicas stale;
    private final Inquiry inquiry;
    private final Pause pause;
    private final CountDownLatch ending;

    LostPeer(NodeIdentity self, StaleReplicas stale) {
        this(
                stale,
                (peer, session, question) -> PeerInquiry.ask(peer, self, session, question),
                new CountDownLatch(1));
    }

    private LostPeer(StaleReplicas stale, Inquiry inquiry, CountDownLatch ending) {
        this.stale = stale;
        this.inquiry = inquiry;
        this.pause = nanos -> !ending.await(nanos, TimeUnit.NANOSECONDS);
        this.ending = ending;
    }

    LostPeer(StaleReplicas stale, Inquiry inquiry, Pause pause) {
        this.stale = stale;
        this.inquiry = inquiry;
        this.pause = pause;
        this.ending = new CountDownLatch(1);
    }

    /** Asks, on a thread of its own, until the session is decided. */
    void askWhileUndecided(RemusPrimary session) {
        start(
                "ask-" + session.settings().opening().domain(),
                () -> {
                    do {
                        ask(session);
                    } while (pause.pass(PAUSE_NANOS)
                            && session.outcome().isEmpty()
                            && session.fault().isEmpty()
                            && session.state() instanceof PrimaryState.Deciding);
                });
    }

    private interface Work {
        void run() throws InterruptedException;
    }

    private static void start(String name, Work work) {
        Thread.ofVirtual()
                .name(name)
                .start(
                        () -> {
                            try {
                                work.run();
                            } catch (InterruptedException e) {
                                Thread.currentThread().interrupt();
                            }
                        });
    }

    private void ask(RemusPrimary session) {
        NodeAddress peer = session.settings().peer();
        try {
            LinkMessage.Answer answer =
                    inquiry.ask(
                            peer,
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
     * Tells the secondary, on a thread of its own, that its replica is stale; until it has heard
     * it.
     */
    void dismissLate(NodeAddress peer, UUID session) {
        try {
            stale.put(session, peer);
        } catch (UncheckedIOException e) {
            LOG.error(
                    "event=not-remembered session={} effect=\"a daemon that is started anew does"
                            + " not tell node {} that its replica is stale\" reason=\"{}\"",
                    session,
                    peer,
                    e.getMessage());
        }
        startTelling(peer, session);
    }

    /** Goes on with what a daemon before this one did not come to tell. */
    void goOnTelling() {
        stale.all().forEach((session, peer) -> startTelling(peer, session));
    }

    private void startTelling(NodeAddress peer, UUID session) {
        start("dismiss-" + session, () -> tell(peer, session));
    }

    void tell(NodeAddress peer, UUID session) throws InterruptedException {
        for (long times = 1; !told(peer, session); times++) {
            if (!pause.pass(times < TELL_SOON_TIMES ? PAUSE_NANOS : LATER_PAUSE_NANOS)) {
                return;
            }
        }
        stale.remove(session);
    }

    private boolean told(NodeAddress peer, UUID session) {
        try {
            LinkMessage.Answer answer = inquiry.ask(peer, session, LinkMessage.Question.DISMISS);
            if (answer.standing() == Standing.TOOK_OVER) {
                LOG.error(
                        "event=two-copies session={} peer={} generation={} next=\"the domain runs"
                                + " on both nodes: destroy one copy\"",
                        session,
                        peer,
                        answer.generation());
            }
            // Only where a session is in force, generation 0, it is about to be decided; anything
            // else that is undecided is for a person, who has spoken.
            return answer.standing() != Standing.UNDECIDED || answer.generation() != 0;
        } catch (IOException | ProtocolException e) {
            LOG.debug("event=peer-unreachable peer={} reason=\"{}\"", peer, e.getMessage());
            return false;
        }
    }

    /** Nothing is asked or told any more; what is left to be told stays written down. */
    @Override
    public void close() {
        ending.countDown();
    }
}
