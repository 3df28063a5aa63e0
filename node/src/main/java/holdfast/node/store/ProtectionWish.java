package holdfast.node.store;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;

import holdfast.node.api.MigrateRequest;
import holdfast.node.api.RemusRequest;
import holdfast.node.link.NodeAddress;

import java.util.ArrayList;
import java.util.List;

/**
 * That a domain is to stay protected, and how: written down, so that a restarted daemon goes on
 * with it, and told to the secondary, for it may be the one who goes on.
 *
 * @param nodes that may hold the replica, {@code host:port}, the preferred one first; at most
 *     {@value #NODES_MAX}, none twice
 * @param compress null, as older releases write it: {@link MigrateRequest.Compress#AUTO}
 */
public record ProtectionWish(
        List<String> nodes,
        int intervalMillis,
        boolean holdOutput,
        boolean plain,
        RemusRequest.ArbiterKind arbiter,
        int heartbeatMillis,
        int deadlineMillis,
        MigrateRequest.Compress compress) {
    public static final int NODES_MAX = RemusRequest.NODES_MAX;

    private static final ObjectMapper JSON =
            JsonMapper.builder()
                    .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                    .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                    .build();

    /** Values are those of a {@link RemusRequest}, and as legal. */
    public ProtectionWish {
        if (nodes == null || nodes.size() > NODES_MAX) {
            throw new IllegalArgumentException("nodes: expected a list of at most " + NODES_MAX);
        }
        compress = compress == null ? MigrateRequest.Compress.AUTO : compress;
        nodes = nodes.stream().map(node -> NodeAddress.parse(node).toString()).distinct().toList();
        request(
                "any",
                "any",
                intervalMillis,
                holdOutput,
                plain,
                arbiter,
                heartbeatMillis,
                deadlineMillis,
                compress);
    }

    /** What an operator asked for, to be renewed. */
    public static ProtectionWish of(RemusRequest request) {
        return new ProtectionWish(
                request.nodes(),
                request.intervalMillis(),
                request.holdOutput(),
                request.plain(),
                request.arbiter(),
                request.heartbeatMillis(),
                request.deadlineMillis(),
                request.compress());
    }

    /** The request that fulfils this. A copy of the stream is made in the first session only. */
    public RemusRequest request(String domain, String node) {
        return request(
                domain,
                node,
                intervalMillis,
                holdOutput,
                plain,
                arbiter,
                heartbeatMillis,
                deadlineMillis,
                compress);
    }

    private static RemusRequest request(
            String domain,
            String node,
            int intervalMillis,
            boolean holdOutput,
            boolean plain,
            RemusRequest.ArbiterKind arbiter,
            int heartbeatMillis,
            int deadlineMillis,
            MigrateRequest.Compress compress) {
        return RemusRequest.of(domain, node)
                .withInterval(intervalMillis)
                .withHeldOutput(holdOutput)
                .withPlain(plain)
                .withArbiter(arbiter)
                .withDeadline(heartbeatMillis, deadlineMillis)
                .withCompress(compress);
    }

    /** The same by other nodes. */
    public ProtectionWish by(List<String> others) {
        return new ProtectionWish(
                others,
                intervalMillis,
                holdOutput,
                plain,
                arbiter,
                heartbeatMillis,
                deadlineMillis,
                compress);
    }

    /** The same without {@code node}: what the one there is told. */
    public ProtectionWish without(NodeAddress node) {
        return by(nodes.stream().filter(other -> !other.equals(node.toString())).toList());
    }

    /** The same, with {@code node} as the preferred one; of too many the last are left out. */
    public ProtectionWish preferring(NodeAddress node) {
        List<String> all = new ArrayList<>(List.of(node.toString()));
        all.addAll(without(node).nodes());
        return by(all.subList(0, Math.min(all.size(), NODES_MAX)));
    }

    /** The same, with {@code node} as the last resort; of too many that one is left out. */
    public ProtectionWish followedBy(NodeAddress node) {
        List<String> all = new ArrayList<>(without(node).nodes());
        all.add(node.toString());
        return by(all.subList(0, Math.min(all.size(), NODES_MAX)));
    }

    public String write() {
        try {
            return JSON.writeValueAsString(this);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a record that cannot be written", e);
        }
    }

    /**
     * @throws IllegalArgumentException with what is wrong
     */
    public static ProtectionWish read(String text) {
        try {
            ProtectionWish wish = JSON.readValue(text, ProtectionWish.class);
            if (wish == null) {
                throw new IllegalArgumentException("it says null");
            }
            return wish;
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(e.getOriginalMessage(), e);
        }
    }
}
