package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.node.store.DomainRuntime;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.Standing;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What is left of domains that were being moved here when the daemon died, their processes ended
 * already. Taking down what hooks had brought up takes seconds each, in which a guest of another
 * domain may stand still that nobody has met yet: it is put off until all are met. The source hears
 * that it may go on only after it.
 */
final class LeftArrivals {
    private static final Logger LOG = LoggerFactory.getLogger(LeftArrivals.class);

    private final Registry registry;
    private final ArrivingFeatures.HookPlace hooks;
    private final List<Left> all = new ArrayList<>();

    /** What becomes of a session once nothing of it is here any more. */
    enum Verdict {
        /** It never ran here. */
        GIVEN_BACK,
        /** It was handed over, and is gone: the other copy is older. */
        STAYS_HANDED_OVER
    }

    /**
     * @param newest session of the domain in which this node was its secondary
     * @param session the same where {@code verdict} is about it
     */
    record Left(
            DomainSpec spec,
            DomainRuntime runtime,
            DomainPlace place,
            Optional<SessionLedger.Entry> newest,
            Optional<SessionLedger.Entry> session,
            Verdict verdict) {}

    LeftArrivals(Registry registry, ArrivingFeatures.HookPlace hooks) {
        this.registry = registry;
        this.hooks = hooks;
    }

    void add(Left left) {
        all.add(left);
    }

    /** Those that were added; a daemon that dies meanwhile leaves the others to the next. */
    void giveBackAll(boolean hostRestarted) {
        for (Left left : all) {
            try {
                giveBack(left, hostRestarted);
            } catch (HypervisorException | UncheckedIOException e) {
                LOG.error(
                        "event=not-given-back domain={} reason=\"{}\" next=\"restart this daemon\"",
                        left.spec().name(),
                        e.getMessage());
            }
        }
        all.clear();
    }

    private void giveBack(Left left, boolean hostRestarted) {
        // Of what hooks had done here nothing outlives the host.
        if (!hostRestarted) {
            takeDownHooks(left);
        }
        left.place().remove();
        registry.store().remove(left.spec().name());
        switch (left.verdict()) {
            case GIVEN_BACK -> left.session().ifPresent(entry -> giveBack(entry, hostRestarted));
            case STAYS_HANDED_OVER ->
                    left.session()
                            .filter(entry -> registry.ledger().wasOnlyTaken(entry.session()))
                            .ifPresent(entry -> undecided(entry, "its daemon and its QEMU died"));
        }
        LOG.info(
                "event=arrival-discarded domain={} reason=\"the daemon that took it in died\"",
                left.spec().name());
    }

    /**
     * Whatever the session came to: of one that may have run here nothing runs here now. They are
     * written down in its place, which goes next.
     */
    private void takeDownHooks(Left left) {
        HookLog log = left.place().hookLog();
        left.newest()
                .filter(entry -> isOf(left.runtime(), entry))
                .ifPresentOrElse(
                        entry ->
                                new ArrivingFeatures(
                                                left.spec(),
                                                List.of(),
                                                entry.session().toString(),
                                                entry.peer(),
                                                registry.self().name(),
                                                hooks,
                                                log)
                                        .takeDownLeft(),
                        () -> ArrivingFeatures.tellLeft(left.spec().name(), log));
    }

    /** One that ran, or may have, has the generation after the source's. */
    private static boolean isOf(DomainRuntime runtime, SessionLedger.Entry entry) {
        return entry.generation() == runtime.generation()
                || entry.generation() == runtime.generation() + 1;
    }

    private void giveBack(SessionLedger.Entry entry, boolean hostRestarted) {
        if (hostRestarted && registry.ledger().isStaged(entry)) {
            undecided(entry, "this host died");
        } else {
            registry.ledger().put(entry.with(Standing.DISCARDED, entry.generation()));
        }
    }

    private void undecided(SessionLedger.Entry entry, String who) {
        registry.ledger().put(entry.with(Standing.UNDECIDED, entry.generation()));
        LOG.warn(
                "event=arrival-undecided domain={} migration={} reason=\"{} while it was being"
                        + " moved here\" next=\"if node {} asks whose it is, decide there\"",
                entry.domain(),
                entry.session(),
                who,
                entry.peer());
    }
}
