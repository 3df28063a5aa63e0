package holdfast.node.link;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;

import holdfast.engine.migrate.Cookies;
import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;

import java.io.IOException;

/** Cookies as JSON. A newer node may add fields: they are passed over. */
public final class CookieJson {
    private static final ObjectMapper JSON =
            JsonMapper.builder()
                    .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                    .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                    .build();

    private CookieJson() {}

    public static Bytes write(Object cookie) {
        try {
            return Bytes.copyOf(JSON.writeValueAsBytes(cookie));
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("cookie " + cookie + " has no JSON form", e);
        }
    }

    /**
     * @param phase for the message of what is wrong
     * @throws ProtocolException if it is no cookie of this kind and version
     */
    public static <T> T read(String phase, Bytes cookie, Class<T> type) {
        try {
            JsonNode tree = JSON.readTree(cookie.toArray());
            int version = tree.path("version").asInt(-1);
            if (version != Cookies.VERSION) {
                throw broken(
                        phase,
                        "version " + Cookies.VERSION + "; run the same release on both",
                        "version " + version);
            }
            return JSON.treeToValue(tree, type);
        } catch (IOException | IllegalArgumentException e) {
            throw broken(phase, type.getSimpleName() + " as JSON", String.valueOf(e.getMessage()));
        }
    }

    private static ProtocolException broken(String phase, String expected, String found) {
        return new ProtocolException(
                "migration", ProtocolException.OFFSET_UNKNOWN, phase + " cookie", expected, found);
    }
}
