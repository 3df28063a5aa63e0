package holdfast.node.session;

import holdfast.engine.port.Arbiter;

import java.util.Optional;
import java.util.function.Consumer;

/** The arbiters a node knows by name; both nodes of a session must use the same kind. */
public enum Arbiters implements Arbiter {
    /**
     * A person. Never answers by itself: {@code failover} on the secondary or {@code unprotect} on
     * the primary is the verdict.
     */
    OPERATOR {
        @Override
        public void ask(String domain, long generation, Role role, Consumer<Verdict> answer) {
            // The answer comes as an operator's request, if it comes.
        }
    },
    /**
     * Nobody: whoever asks may go on, at once. Right as long as silence always means death; when
     * only the network between the nodes breaks, both copies run.
     */
    NONE {
        @Override
        public void ask(String domain, long generation, Role role, Consumer<Verdict> answer) {
            answer.accept(Verdict.GO_ON);
        }
    };

    @Override
    public String kind() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }

    /** The arbiter of this name. */
    public static Optional<Arbiters> of(String kind) {
        for (Arbiters arbiter : values()) {
            if (arbiter.kind().equals(kind)) {
                return Optional.of(arbiter);
            }
        }
        return Optional.empty();
    }
}
