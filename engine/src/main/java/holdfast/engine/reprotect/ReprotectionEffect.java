package holdfast.engine.reprotect;

import java.util.List;

/** What the node does for a {@link ReprotectionMachine}. */
public sealed interface ReprotectionEffect {
    /** Say {@link ReprotectionEvent.TryDue} then. */
    record Schedule(long dueNanos) implements ReprotectionEffect {}

    /** Try to protect the domain by that node. */
    record Protect(String node) implements ReprotectionEffect {}

    /** Remember which nodes may hold the replica, so that a restarted daemon knows it. */
    record Remember(List<String> nodes) implements ReprotectionEffect {
        public Remember {
            nodes = List.copyOf(nodes);
        }
    }

    /** Forget that the domain was to be protected. */
    record Forget() implements ReprotectionEffect {}
}
