package holdfast.node.api;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;

import java.util.List;

/**
 * What the node does by itself so that a domain stays protected.
 *
 * @param state what it does now
 * @param candidates nodes that may hold the replica, {@code host:port}, the preferred one first
 * @param attempts made in vain, or that did not last, since the domain was last soundly protected
 * @param lastError why the last attempt failed or protection ended, or why nothing is done for a
 *     domain that is to stay protected; null where there is nothing
 * @param nextTryMillis time until the next attempt; -1 where none is due
 */
public record ReprotectionStatus(
        State state, List<String> candidates, int attempts, String lastError, long nextTryMillis) {
    public ReprotectionStatus {
        candidates = List.copyOf(candidates);
    }

    /** What is done. */
    public enum State {
        /** Nothing: nobody wants it, or this node's settings forbid it. */
        OFF,
        /** The domain runs alone; the next attempt is due soon. */
        LOOKING,
        /** An attempt is under way. */
        PROTECTING,
        /** A session protects the domain; when that is lost, the node looks for another. */
        PROTECTED;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static State of(String text) {
            return JsonNames.parse(State.class, text);
        }
    }
}
