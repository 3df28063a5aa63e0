package holdfast.node.api;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;

import java.util.List;
import java.util.function.Consumer;

/**
 * How a domain is to be moved.
 *
 * @param domain the domain's name
 * @param node the destination, {@code host} or {@code host:port}
 * @param policy what goes for all features
 * @param require features that must be up on the destination
 * @param bestEffort features that should be
 * @param downtimeMillis what is left of memory shall travel within this time, 1 to 60,000
 * @param roundsMax rounds while the guest runs, 1 to 1,000
 * @param bandwidthMibPerSecond the bound for pages and disks, 0 for none
 * @param autoConverge whether a guest that writes too fast is slowed down
 * @param connections for pages, 1 to 16
 * @param timeoutSeconds for the rounds, 0 for none
 * @param onTimeout what then
 * @param featureSeconds for the destination to bring its features up, 1 to 600
 * @param heartbeatMillis as in {@link RemusRequest}
 * @param deadlineMillis as in {@link RemusRequest}
 * @param storage what becomes of disks that the guest may write; null for {@link Storage#AUTO}
 * @param compress whether pages are compressed on their way; null is {@link Compress#AUTO}
 */
public record MigrateRequest(
        String domain,
        String node,
        Policy policy,
        List<String> require,
        List<String> bestEffort,
        int downtimeMillis,
        int roundsMax,
        long bandwidthMibPerSecond,
        boolean autoConverge,
        int connections,
        int timeoutSeconds,
        OnTimeout onTimeout,
        int featureSeconds,
        int heartbeatMillis,
        int deadlineMillis,
        Storage storage,
        Compress compress) {
    public static final int DOWNTIME_MILLIS_DEFAULT = 20;
    public static final int ROUNDS_MAX_DEFAULT = 30;
    public static final int CONNECTIONS_DEFAULT = 1;
    public static final int FEATURE_SECONDS_DEFAULT = 30;

    /**
     * A node's own deadline may be shorter, for a fail-over must be quick; here a lost peer ends
     * the migration, and a busy one should not.
     */
    public static final int DEADLINE_MILLIS_LEAST = 5_000;

    /** What goes for all features alike. */
    public enum Policy {
        /** Disk and network are required, hooks as named. */
        DEFAULT,
        /** Everything is best effort that a guest can run without. */
        URGENT,
        /** Everything is required. */
        STRICT;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static Policy of(String text) {
            return JsonNames.parse(Policy.class, text);
        }
    }

    /** What happens when the time for the rounds is over. */
    public enum OnTimeout {
        /** The guest stays where it is. */
        CANCEL,
        /** It is suspended, and what is left travels. */
        STOP;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static OnTimeout of(String text) {
            return JsonNames.parse(OnTimeout.class, text);
        }
    }

    /** What becomes of disks that the guest may write. */
    public enum Storage {
        /** Those that the destination does not share are copied there. */
        AUTO,
        /** All must be shared: else nothing is moved. */
        SHARED,
        /** All are copied. */
        COPY;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static Storage of(String text) {
            return JsonNames.parse(Storage.class, text);
        }
    }

    /** Whether pages are compressed on their way. */
    public enum Compress {
        /** Where that is quicker on this link. */
        AUTO,
        /** Never. */
        NONE,
        /** Whatever shrinks. */
        ZSTD;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static Compress of(String text) {
            return JsonNames.parse(Compress.class, text);
        }
    }

    public MigrateRequest {
        storage = storage == null ? Storage.AUTO : storage;
        compress = compress == null ? Compress.AUTO : compress;
        ApiException.require("domain", domain);
        ApiException.require("node", node);
        ApiException.require("policy", policy);
        ApiException.require("onTimeout", onTimeout);
        require = require == null ? List.of() : List.copyOf(require);
        bestEffort = bestEffort == null ? List.of() : List.copyOf(bestEffort);
        range("downtimeMillis (--downtime)", downtimeMillis, 1, 60_000);
        range("roundsMax (--max-rounds)", roundsMax, 1, 1_000);
        range("bandwidthMibPerSecond (--bandwidth)", bandwidthMibPerSecond, 0, 1 << 20);
        range("connections (--connections)", connections, 1, 16);
        range("timeoutSeconds (--timeout)", timeoutSeconds, 0, 7 * 24 * 3600);
        range("featureSeconds (--feature-timeout)", featureSeconds, 1, 600);
    }

    /** With everything as it is by default. */
    public static MigrateRequest of(String domain, String node) {
        return new MigrateRequest(
                domain,
                node,
                Policy.DEFAULT,
                List.of(),
                List.of(),
                DOWNTIME_MILLIS_DEFAULT,
                ROUNDS_MAX_DEFAULT,
                0,
                false,
                CONNECTIONS_DEFAULT,
                0,
                OnTimeout.CANCEL,
                FEATURE_SECONDS_DEFAULT,
                RemusRequest.OF_THE_NODE,
                RemusRequest.OF_THE_NODE,
                Storage.AUTO,
                Compress.AUTO);
    }

    /** Under this policy. */
    public MigrateRequest withPolicy(Policy wish) {
        return changed(draft -> draft.policy = wish);
    }

    /** These features required and best effort. */
    public MigrateRequest withFeatures(List<String> required, List<String> effort) {
        return changed(
                draft -> {
                    draft.require = required;
                    draft.bestEffort = effort;
                });
    }

    /** With rounds until what is left travels within {@code millis}, or so many. */
    public MigrateRequest withRounds(int millis, int most) {
        return changed(
                draft -> {
                    draft.downtimeMillis = millis;
                    draft.roundsMax = most;
                });
    }

    /** With so much for pages and disks; 0 for no bound. */
    public MigrateRequest withBandwidth(long mibPerSecond) {
        return changed(draft -> draft.bandwidthMibPerSecond = mibPerSecond);
    }

    /** Of a guest that is slowed down where it writes too fast, or not. */
    public MigrateRequest withAutoConverge(boolean wish) {
        return changed(draft -> draft.autoConverge = wish);
    }

    /** Over so many connections for pages. */
    public MigrateRequest withConnections(int count) {
        return changed(draft -> draft.connections = count);
    }

    /** With so long for the rounds, 0 for no bound, and what then. */
    public MigrateRequest withTimeout(int seconds, OnTimeout then) {
        return changed(
                draft -> {
                    draft.timeoutSeconds = seconds;
                    draft.onTimeout = then;
                });
    }

    /** With so long for the destination's features. */
    public MigrateRequest withFeatureSeconds(int seconds) {
        return changed(draft -> draft.featureSeconds = seconds);
    }

    /** With a peer that is lost after so long. */
    public MigrateRequest withDeadline(int heartbeat, int deadline) {
        return changed(
                draft -> {
                    draft.heartbeatMillis = heartbeat;
                    draft.deadlineMillis = deadline;
                });
    }

    /** With its disks shared or copied. */
    public MigrateRequest withStorage(Storage wish) {
        return changed(draft -> draft.storage = wish);
    }

    /** With its pages compressed or not. */
    public MigrateRequest withCompress(Compress wish) {
        return changed(draft -> draft.compress = wish);
    }

    /** This request with the node's own settings where it leaves them open. */
    public MigrateRequest orElse(int nodeHeartbeatMillis, int nodeDeadlineMillis) {
        int heartbeat =
                heartbeatMillis == RemusRequest.OF_THE_NODE ? nodeHeartbeatMillis : heartbeatMillis;
        int deadline =
                deadlineMillis == RemusRequest.OF_THE_NODE
                        ? Math.max(
                                Math.max(nodeDeadlineMillis, DEADLINE_MILLIS_LEAST), 2 * heartbeat)
                        : deadlineMillis;
        return withDeadline(heartbeat, deadline);
    }

    private MigrateRequest changed(Consumer<Draft> change) {
        Draft draft = new Draft(this);
        change.accept(draft);
        return draft.request();
    }

    /** The one place where all of it is copied. */
    private static final class Draft {
        private final String domain;
        private final String node;
        private Policy policy;
        private List<String> require;
        private List<String> bestEffort;
        private int downtimeMillis;
        private int roundsMax;
        private long bandwidthMibPerSecond;
        private boolean autoConverge;
        private int connections;
        private int timeoutSeconds;
        private OnTimeout onTimeout;
        private int featureSeconds;
        private int heartbeatMillis;
        private int deadlineMillis;
        private Storage storage;
        private Compress compress;

        Draft(MigrateRequest of) {
            domain = of.domain;
            node = of.node;
            policy = of.policy;
            require = of.require;
            bestEffort = of.bestEffort;
            downtimeMillis = of.downtimeMillis;
            roundsMax = of.roundsMax;
            bandwidthMibPerSecond = of.bandwidthMibPerSecond;
            autoConverge = of.autoConverge;
            connections = of.connections;
            timeoutSeconds = of.timeoutSeconds;
            onTimeout = of.onTimeout;
            featureSeconds = of.featureSeconds;
            heartbeatMillis = of.heartbeatMillis;
            deadlineMillis = of.deadlineMillis;
            storage = of.storage;
            compress = of.compress;
        }

        MigrateRequest request() {
            return new MigrateRequest(
                    domain,
                    node,
                    policy,
                    require,
                    bestEffort,
                    downtimeMillis,
                    roundsMax,
                    bandwidthMibPerSecond,
                    autoConverge,
                    connections,
                    timeoutSeconds,
                    onTimeout,
                    featureSeconds,
                    heartbeatMillis,
                    deadlineMillis,
                    storage,
                    compress);
        }
    }

    private static void range(String field, long found, long least, long most) {
        if (found < least || found > most) {
            throw ApiException.badRequest(
                    field + " " + found + ": allowed " + least + " to " + most);
        }
    }
}
