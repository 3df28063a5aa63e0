package holdfast.engine.reprotect;

import holdfast.engine.reprotect.ReprotectionEffect.Forget;
import holdfast.engine.reprotect.ReprotectionEffect.Protect;
import holdfast.engine.reprotect.ReprotectionEffect.Remember;
import holdfast.engine.reprotect.ReprotectionEffect.Schedule;
import holdfast.engine.reprotect.ReprotectionEvent.AttemptFailed;
import holdfast.engine.reprotect.ReprotectionEvent.Failure;
import holdfast.engine.reprotect.ReprotectionEvent.Gone;
import holdfast.engine.reprotect.ReprotectionEvent.IsSelf;
import holdfast.engine.reprotect.ReprotectionEvent.NotNow;
import holdfast.engine.reprotect.ReprotectionEvent.ProtectedNow;
import holdfast.engine.reprotect.ReprotectionEvent.SessionEnded;
import holdfast.engine.reprotect.ReprotectionEvent.TryDue;
import holdfast.engine.reprotect.ReprotectionEvent.Wished;
import holdfast.engine.reprotect.ReprotectionEvent.Withdrawn;
import holdfast.engine.reprotect.ReprotectionState.Looking;
import holdfast.engine.reprotect.ReprotectionState.Off;
import holdfast.engine.reprotect.ReprotectionState.Protected;
import holdfast.engine.reprotect.ReprotectionState.Trying;

import java.util.List;
import java.util.Optional;

/** Looks for a node that protects a domain, as a pure function. */
public final class ReprotectionMachine {
    private ReprotectionMachine() {}

    /** The next state and what to do on the way. */
    public record Step(ReprotectionState state, List<ReprotectionEffect> effects) {
        Step(ReprotectionState state, ReprotectionEffect... effects) {
            this(state, List.of(effects));
        }
    }

    /**
     * What follows {@code event} in {@code state}. Late news of an earlier attempt change nothing.
     */
    public static Step step(ReprotectionState state, ReprotectionEvent event) {
        return switch (state) {
            case Off off -> off(off, event);
            case Protected is -> isProtected(is, event);
            case Looking looking -> looking(looking, event);
            case Trying trying -> trying(trying, event);
        };
    }

    private static Step off(Off off, ReprotectionEvent event) {
        return switch (event) {
            case Wished wished -> wished(wished);
            case ProtectedNow now -> protectedNow(now, 0, InVain.NOTHING);
            case Withdrawn _ -> new Step(off, new Forget());
            case SessionEnded _, TryDue _, NotNow _, AttemptFailed _, IsSelf _, Gone _ ->
                    new Step(off);
        };
    }

    private static Step isProtected(Protected is, ReprotectionEvent event) {
        return switch (event) {
            case SessionEnded(String reason, long now, double jitter) -> {
                if (is.isSoundAt(now)) {
                    yield look(is.nodes(), 0, InVain.NOTHING, now, Optional.of(reason));
                }
                InVain inVain = is.inVain().copy();
                // The first time nothing speaks against trying at once.
                long delay =
                        inVain.attempts() == 1
                                ? 0
                                : Backoff.afterCopyNanos(
                                        inVain, is.nodes().size(), is.copyNanos(), jitter);
                yield look(
                        is.nodes(),
                        (inVain.attempts() - 1) % is.nodes().size(),
                        inVain,
                        now + delay,
                        Optional.of(reason));
            }
            // Its session broke without an end, and somebody let the domain go on.
            case Wished wished -> wished(wished);
            case ProtectedNow now -> protectedNow(now, 0, is.inVain());
            case Withdrawn _ -> new Step(new Off(), new Forget());
            case Gone _ -> new Step(new Off());
            case TryDue _, NotNow _, AttemptFailed _, IsSelf _ -> new Step(is);
        };
    }

    private static Step looking(Looking looking, ReprotectionEvent event) {
        return switch (event) {
            case TryDue(long now) -> {
                // A timer of an earlier state, or one that went off early.
                if (now - looking.dueNanos() < 0) {
                    yield new Step(looking, new Schedule(looking.dueNanos()));
                }
                Trying trying =
                        new Trying(
                                looking.nodes(),
                                looking.next(),
                                looking.inVain(),
                                now,
                                looking.lastFailure());
                yield new Step(trying, new Protect(trying.node()));
            }
            case Wished wished -> wished(wished);
            case ProtectedNow now -> protectedNow(now, 0, looking.inVain());
            case Withdrawn _ -> new Step(new Off(), new Forget());
            case Gone _ -> new Step(new Off());
            // A session that the operator began and that did not come to protect: not an attempt.
            case SessionEnded _, NotNow _, AttemptFailed _, IsSelf _ -> new Step(looking);
        };
    }

    private static Step trying(Trying trying, ReprotectionEvent event) {
        return switch (event) {
            case ProtectedNow now ->
                    protectedNow(now, now.nowNanos() - trying.sinceNanos(), trying.inVain());
            case SessionEnded(String reason, long now, double jitter) -> {
                InVain inVain = trying.inVain().copy();
                long copyNanos = now - trying.sinceNanos();
                long delay =
                        Backoff.afterCopyNanos(inVain, trying.nodes().size(), copyNanos, jitter);
                yield lookOn(trying, inVain, now + delay, reason);
            }
            case AttemptFailed(String node, Failure failure, String reason, long now, double jitter)
                    when node.equals(trying.node()) -> {
                InVain inVain = trying.inVain().attempt();
                long delay =
                        Backoff.nanos(inVain.attempts(), trying.nodes().size(), failure, jitter);
                yield lookOn(trying, inVain, now + delay, reason);
            }
            case NotNow(long now) ->
                    look(
                            trying.nodes(),
                            trying.next(),
                            trying.inVain(),
                            now + Backoff.LEAST_NANOS,
                            trying.lastFailure());
            case IsSelf(String node, long now) -> without(trying, node, now);
            case Wished wished -> wished(wished);
            case Withdrawn _ -> new Step(new Off(), new Forget());
            case Gone _ -> new Step(new Off());
            case TryDue _, AttemptFailed _ -> new Step(trying);
        };
    }

    private static Step wished(Wished wished) {
        if (wished.nodes().isEmpty()) {
            return new Step(new Off(), new Forget());
        }
        return new Step(
                new Looking(wished.nodes(), 0, InVain.NOTHING, wished.nowNanos(), Optional.empty()),
                new Remember(wished.nodes()),
                new Schedule(wished.nowNanos()));
    }

    private static Step protectedNow(ProtectedNow now, long copyNanos, InVain inVain) {
        return new Step(
                new Protected(now.nodes(), now.nowNanos(), copyNanos, inVain),
                new Remember(now.nodes()));
    }

    /** The next node's turn. */
    private static Step lookOn(Trying trying, InVain inVain, long due, String reason) {
        int next = (trying.next() + 1) % trying.nodes().size();
        return look(trying.nodes(), next, inVain, due, Optional.of(reason));
    }

    /** A node cannot hold its own domain's replica; it is not asked again. */
    private static Step without(Trying trying, String node, long now) {
        List<String> others = trying.nodes().stream().filter(other -> !other.equals(node)).toList();
        if (others.isEmpty()) {
            return new Step(new Off(), new Forget());
        }
        Step step =
                look(
                        others,
                        trying.next() % others.size(),
                        trying.inVain(),
                        now,
                        trying.lastFailure());
        return new Step(step.state(), List.of(new Remember(others), step.effects().getFirst()));
    }

    private static Step look(
            List<String> nodes, int next, InVain inVain, long due, Optional<String> lastFailure) {
        return new Step(new Looking(nodes, next, inVain, due, lastFailure), new Schedule(due));
    }
}
