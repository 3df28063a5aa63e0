package holdfast.node.api;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * How a domain is to be protected.
 *
 * @param domain the domain's name
 * @param node the secondary's node, {@code host} or {@code host:port}; the port is {@value
 *     #PORT_DEFAULT} unless given
 * @param intervalMillis the guest runs this long between two checkpoints, 1 to 10,000
 * @param holdOutput whether output waits for its commit; without that a survivor may contradict
 *     what was said
 * @param plain whether the bulk stream is a byte-exact Xen stream, without deltas
 * @param arbiter who decides when the two nodes no longer hear each other
 * @param heartbeatMillis a sign of life is sent this often, 10 to 60,000, or {@value #OF_THE_NODE}
 * @param deadlineMillis a peer silent for this long is lost; at least twice {@code
 *     heartbeatMillis}, at most 600,000, or {@value #OF_THE_NODE}
 * @param tee absolute path of a file that gets a copy of the bulk stream, or null; needs {@code
 *     plain}
 * @param others further nodes that may hold the replica when {@code node} cannot, in this order;
 *     null: none
 * @param afterLoss what happens once protection is lost; null: {@link AfterLoss#PROTECT_AGAIN}
 * @param compress whether the bulk stream is compressed on its way; null: {@link
 *     MigrateRequest.Compress#AUTO}, which leaves a {@code plain} one as it is
 */
public record RemusRequest(
        String domain,
        String node,
        int intervalMillis,
        boolean holdOutput,
        boolean plain,
        ArbiterKind arbiter,
        int heartbeatMillis,
        int deadlineMillis,
        String tee,
        List<String> others,
        AfterLoss afterLoss,
        MigrateRequest.Compress compress) {
    public static final int PORT_DEFAULT = 7227;

    /** Nodes that may hold the replica, all in all. */
    public static final int NODES_MAX = 16;

    /** Leaves {@code heartbeatMillis} or {@code deadlineMillis} to the node's settings. */
    public static final int OF_THE_NODE = 0;

    public static final int INTERVAL_MILLIS_DEFAULT = 25;
    public static final int INTERVAL_MILLIS_MAX = 10_000;
    public static final int HEARTBEAT_MILLIS_DEFAULT = 100;
    public static final int HEARTBEAT_MILLIS_MIN = 10;
    public static final int HEARTBEAT_MILLIS_MAX = 60_000;
    public static final int DEADLINE_MILLIS_DEFAULT = 500;
    public static final int DEADLINE_MILLIS_MAX = 600_000;

    /** Who decides. */
    public enum ArbiterKind {
        /**
         * A person: nothing happens by itself; {@code failover} on one side or {@code unprotect} on
         * the other is the verdict.
         */
        OPERATOR,
        /**
         * Nobody: a secondary that hears nothing goes on by itself. If only the network broke, both
         * copies run.
         */
        NONE;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static ArbiterKind of(String text) {
            return JsonNames.parse(ArbiterKind.class, text);
        }
    }

    /** What happens once a secondary or a primary is lost. */
    public enum AfterLoss {
        /** Whoever runs the domain looks for a node that protects it. */
        PROTECT_AGAIN,
        /** It runs alone until somebody says {@code remus} again. */
        STAY_ALONE;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static AfterLoss of(String text) {
            return JsonNames.parse(AfterLoss.class, text);
        }
    }

    public RemusRequest {
        ApiException.require("domain", domain);
        ApiException.require("node", node);
        ApiException.require("arbiter", arbiter);
        range("intervalMillis", intervalMillis, 1, INTERVAL_MILLIS_MAX);
        if (heartbeatMillis != OF_THE_NODE) {
            range("heartbeatMillis", heartbeatMillis, HEARTBEAT_MILLIS_MIN, HEARTBEAT_MILLIS_MAX);
        }
        if (deadlineMillis != OF_THE_NODE) {
            int least = Math.max(heartbeatMillis, HEARTBEAT_MILLIS_MIN);
            range("deadlineMillis", deadlineMillis, 2 * least, DEADLINE_MILLIS_MAX);
        }
        others = others == null ? List.of() : List.copyOf(others);
        afterLoss = afterLoss == null ? AfterLoss.PROTECT_AGAIN : afterLoss;
        compress = compress == null ? MigrateRequest.Compress.AUTO : compress;
        if (plain && compress == MigrateRequest.Compress.ZSTD) {
            throw ApiException.badRequest(
                    "compress zstd contradicts plain, which sends the stream byte by byte as Xen"
                            + " would; leave --compress or --plain out");
        }
        if (others.size() >= NODES_MAX) {
            throw ApiException.badRequest(
                    "others has "
                            + others.size()
                            + " nodes: allowed are "
                            + NODES_MAX
                            + " in all, node included");
        }
        if (tee != null && !plain) {
            throw ApiException.badRequest(
                    "tee needs plain: only the plain stream stands for itself; add --plain or leave"
                            + " --tee out");
        }
    }

    /** Protection of {@code domain} by {@code node} where nobody said anything else. */
    public static RemusRequest of(String domain, String node) {
        return new RemusRequest(
                domain,
                node,
                INTERVAL_MILLIS_DEFAULT,
                true,
                false,
                ArbiterKind.OPERATOR,
                OF_THE_NODE,
                OF_THE_NODE,
                null,
                List.of(),
                AfterLoss.PROTECT_AGAIN,
                MigrateRequest.Compress.AUTO);
    }

    /** The same by another of its nodes. */
    public RemusRequest at(String otherNode) {
        return changed(draft -> draft.node = otherNode);
    }

    /** With so long between two checkpoints. */
    public RemusRequest withInterval(int millis) {
        return changed(draft -> draft.intervalMillis = millis);
    }

    /** With output that waits for its commit, or not. */
    public RemusRequest withHeldOutput(boolean wish) {
        return changed(draft -> draft.holdOutput = wish);
    }

    /** With a byte-exact Xen stream, or not. */
    public RemusRequest withPlain(boolean wish) {
        return changed(draft -> draft.plain = wish);
    }

    /** Of a plain stream, with a copy of it in a file; null for none. */
    public RemusRequest withTee(String path) {
        return changed(draft -> draft.tee = path);
    }

    /** Decided so. */
    public RemusRequest withArbiter(ArbiterKind kind) {
        return changed(draft -> draft.arbiter = kind);
    }

    /** With a peer that is lost after so long. */
    public RemusRequest withDeadline(int heartbeat, int deadline) {
        return changed(
                draft -> {
                    draft.heartbeatMillis = heartbeat;
                    draft.deadlineMillis = deadline;
                });
    }

    /** With these further nodes. */
    public RemusRequest withOthers(List<String> nodes) {
        return changed(draft -> draft.others = nodes);
    }

    /** With this after a loss. */
    public RemusRequest withAfterLoss(AfterLoss wish) {
        return changed(draft -> draft.afterLoss = wish);
    }

    /** With its bulk stream compressed or not. */
    public RemusRequest withCompress(MigrateRequest.Compress wish) {
        return changed(draft -> draft.compress = wish);
    }

    /** This request with the node's own settings where it leaves them open. */
    public RemusRequest orElse(int nodeHeartbeatMillis, int nodeDeadlineMillis) {
        int heartbeat = heartbeatMillis == OF_THE_NODE ? nodeHeartbeatMillis : heartbeatMillis;
        int deadline =
                deadlineMillis == OF_THE_NODE
                        ? Math.max(nodeDeadlineMillis, 2 * heartbeat)
                        : deadlineMillis;
        return withDeadline(heartbeat, deadline);
    }

    private RemusRequest changed(Consumer<Draft> change) {
        Draft draft = new Draft(this);
        change.accept(draft);
        return draft.request();
    }

    /** The one place where all of it is copied. */
    private static final class Draft {
        private final String domain;
        private String node;
        private int intervalMillis;
        private boolean holdOutput;
        private boolean plain;
        private ArbiterKind arbiter;
        private int heartbeatMillis;
        private int deadlineMillis;
        private String tee;
        private List<String> others;
        private AfterLoss afterLoss;
        private MigrateRequest.Compress compress;

        Draft(RemusRequest of) {
            domain = of.domain;
            node = of.node;
            intervalMillis = of.intervalMillis;
            holdOutput = of.holdOutput;
            plain = of.plain;
            arbiter = of.arbiter;
            heartbeatMillis = of.heartbeatMillis;
            deadlineMillis = of.deadlineMillis;
            tee = of.tee;
            others = of.others;
            afterLoss = of.afterLoss;
            compress = of.compress;
        }

        RemusRequest request() {
            return new RemusRequest(
                    domain,
                    node,
                    intervalMillis,
                    holdOutput,
                    plain,
                    arbiter,
                    heartbeatMillis,
                    deadlineMillis,
                    tee,
                    others,
                    afterLoss,
                    compress);
        }
    }

    /** Every node that may hold the replica, the preferred one first. */
    public List<String> nodes() {
        List<String> nodes = new ArrayList<>(List.of(node));
        nodes.addAll(others);
        return List.copyOf(nodes);
    }

    private static void range(String field, int found, int least, int most) {
        if (found < least || found > most) {
            throw ApiException.badRequest(
                    field + " " + found + ": allowed " + least + " to " + most);
        }
    }
}
