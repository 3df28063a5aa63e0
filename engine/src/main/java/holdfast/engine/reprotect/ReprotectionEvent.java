package holdfast.engine.reprotect;

import java.util.List;

/**
 * What happened to a domain or to an attempt. Times are of one monotonic clock; {@code jitter} is
 * random, from 0 to 1, so that nodes that lost the same peer do not ask another in step.
 */
public sealed interface ReprotectionEvent {
    /** The domain runs here alone and is to be protected by one of {@code nodes}. */
    record Wished(List<String> nodes, long nowNanos) implements ReprotectionEvent {
        public Wished {
            nodes = List.copyOf(nodes);
        }
    }

    /** A session, whoever began it, has committed its first checkpoint. */
    record ProtectedNow(List<String> nodes, long nowNanos) implements ReprotectionEvent {
        public ProtectedNow {
            nodes = List.copyOf(nodes);
        }
    }

    /** A session has ended, and the domain runs here alone: nobody else can own it. */
    record SessionEnded(String reason, long nowNanos, double jitter) implements ReprotectionEvent {}

    /** The time of an attempt has come. */
    record TryDue(long nowNanos) implements ReprotectionEvent {}

    /** The attempt could not begin: something else is in work on the domain. */
    record NotNow(long nowNanos) implements ReprotectionEvent {}

    /** The attempt on {@code node} failed before a session was open. */
    record AttemptFailed(String node, Failure failure, String reason, long nowNanos, double jitter)
            implements ReprotectionEvent {}

    /** {@code node} is this node itself. */
    record IsSelf(String node, long nowNanos) implements ReprotectionEvent {}

    /** The operator does not want the domain protected any more. */
    record Withdrawn() implements ReprotectionEvent {}

    /** The domain has ended, or another node owns it. */
    record Gone() implements ReprotectionEvent {}

    /** How an attempt failed, which says what the next one costs. */
    enum Failure {
        /** Nobody answered: asking again is cheap. */
        UNREACHABLE,
        /** The node was reached and did not protect the domain. */
        REFUSED
    }
}
