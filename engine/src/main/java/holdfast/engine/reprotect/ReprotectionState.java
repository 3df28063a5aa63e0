package holdfast.engine.reprotect;

import java.util.List;
import java.util.Optional;

/** What a node does about the protection of one of its domains. */
public sealed interface ReprotectionState {
    /** Nodes that may hold the replica, the preferred one first. */
    List<String> nodes();

    /** Nobody wants the domain protected, or the domain is not here. */
    record Off() implements ReprotectionState {
        @Override
        public List<String> nodes() {
            return List.of();
        }
    }

    /**
     * A session protects the domain, or is undecided about who owns it.
     *
     * @param sinceNanos its first commit
     * @param copyNanos from the attempt's begin to the first commit; 0 where the operator began it
     * @param inVain before, while protection did not last
     */
    record Protected(List<String> nodes, long sinceNanos, long copyNanos, InVain inVain)
            implements ReprotectionState {
        public Protected {
            nodes = some(nodes);
        }

        /** Whether it has lasted: longer than it took to come to. */
        boolean isSoundAt(long nowNanos) {
            return nowNanos - sinceNanos >= Math.max(Backoff.SOUND_NANOS, copyNanos);
        }
    }

    /**
     * The domain runs here alone; the next attempt is due.
     *
     * @param next index of the node that is tried then
     * @param lastFailure why the last attempt failed, or why protection ended
     */
    record Looking(
            List<String> nodes,
            int next,
            InVain inVain,
            long dueNanos,
            Optional<String> lastFailure)
            implements ReprotectionState {
        public Looking {
            nodes = some(nodes);
            requireIndex(next, nodes);
        }
    }

    /**
     * An attempt is under way.
     *
     * @param next index of the node that is tried
     * @param inVain before it
     */
    record Trying(
            List<String> nodes,
            int next,
            InVain inVain,
            long sinceNanos,
            Optional<String> lastFailure)
            implements ReprotectionState {
        public Trying {
            nodes = some(nodes);
            requireIndex(next, nodes);
        }

        /** The node that is tried. */
        public String node() {
            return nodes.get(next);
        }
    }

    private static List<String> some(List<String> nodes) {
        if (nodes.isEmpty()) {
            throw new IllegalArgumentException("no node to look for");
        }
        return List.copyOf(nodes);
    }

    private static void requireIndex(int next, List<String> nodes) {
        if (next < 0 || next >= nodes.size()) {
            throw new IllegalArgumentException("node " + next + " of " + nodes.size());
        }
    }
}
