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
            case ProtectedNow now -> protectedNow(now, 0);
            case Withdrawn _ -> new Step(off, new Forget());
            case SessionEnded _, TryDue _, NotNow _, AttemptFailed _, IsSelf _, Gone _ ->
                    new Step(off);
        };
    }

    private static Step isProtected(Protected is, ReprotectionEvent event) {
        return switch (event) {
            case SessionEnded(String reason, long now, double jitter) -> {
                boolean sound = now - is.sinceNanos() >= Backoff.SOUND_NANOS;
                // The first time nothing speaks against trying at once.
                if (sound || is.attempts() == 0) {
                    yield look(is.nodes(), 0, sound ? 0 : 1, now, Optional.of(reason));
                }
                int attempts = is.attempts() + 1;
                yield look(
                        is.nodes(),
                        (attempts - 1) % is.nodes().size(),
                        attempts,
                        now + delay(attempts, is.nodes(), Failure.REFUSED, jitter),
                        Optional.of(reason));
            }
            // Its session broke without an end, and somebody let the domain go on.
            case Wished wished -> wished(wished);
            case ProtectedNow now -> protectedNow(now, is.attempts());
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
                                looking.attempts(),
                                looking.lastFailure());
                yield new Step(trying, new Protect(trying.node()));
            }
            case Wished wished -> wished(wished);
            case ProtectedNow now -> protectedNow(now, looking.attempts());
            case Withdrawn _ -> new Step(new Off(), new Forget());
            case Gone _ -> new Step(new Off());
            // A session that the operator began and that did not come to protect: not an attempt.
            case SessionEnded _, NotNow _, AttemptFailed _, IsSelf _ -> new Step(looking);
        };
    }

    private static Step trying(Trying trying, ReprotectionEvent event) {
        return switch (event) {
            case ProtectedNow now -> protectedNow(now, trying.attempts());
            case SessionEnded(String reason, long now, double jitter) ->
                    failed(trying, Failure.REFUSED, reason, now, jitter);
            case AttemptFailed(String node, Failure failure, String reason, long now, double jitter)
                    when node.equals(trying.node()) ->
                    failed(trying, failure, reason, now, jitter);
            case NotNow(long now) ->
                    look(
                            trying.nodes(),
                            trying.next(),
                            trying.attempts(),
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
                new Looking(wished.nodes(), 0, 0, wished.nowNanos(), Optional.empty()),
                new Remember(wished.nodes()),
                new Schedule(wished.nowNanos()));
    }

    private static Step protectedNow(ProtectedNow now, int attempts) {
        return new Step(
                new Protected(now.nodes(), now.nowNanos(), attempts), new Remember(now.nodes()));
    }

    private static Step failed(
            Trying trying, Failure failure, String reason, long now, double jitter) {
        int attempts = trying.attempts() + 1;
        return look(
                trying.nodes(),
                (trying.next() + 1) % trying.nodes().size(),
                attempts,
                now + delay(attempts, trying.nodes(), failure, jitter),
                Optional.of(reason));
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
                        trying.attempts(),
                        now,
                        trying.lastFailure());
        return new Step(step.state(), List.of(new Remember(others), step.effects().getFirst()));
    }

    private static Step look(
            List<String> nodes, int next, int attempts, long due, Optional<String> lastFailure) {
        return new Step(new Looking(nodes, next, attempts, due, lastFailure), new Schedule(due));
    }

    private static long delay(int attempts, List<String> nodes, Failure failure, double jitter) {
        return Backoff.nanos(attempts, nodes.size(), failure, jitter);
    }
}
