package holdfast.node.api;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DatabindException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.databind.json.JsonMapper;

import java.io.IOException;
import java.util.stream.Collectors;

/** The records of {@link NodeApi} as JSON: one object, one line. */
public final class ApiJson {
    /** A request names what it means: what is not known is refused, not ignored. */
    private static final ObjectMapper STRICT =
            JsonMapper.builder()
                    .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                    .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
                    .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
                    .build();

    /** An answer may come from a newer daemon. */
    private static final ObjectMapper LENIENT =
            JsonMapper.builder().disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();

    private ApiJson() {}

    /** One line, without its end. */
    public static String write(Object value) {
        try {
            return STRICT.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("no JSON for " + value.getClass().getName(), e);
        }
    }

    /**
     * What a client sent; a mistake is {@link ApiException.Kind#BAD_REQUEST} and names the field.
     */
    static <T> T readRequest(byte[] body, Class<T> type) {
        try {
            T request = STRICT.readValue(body, type);
            if (request == null) {
                throw ApiException.badRequest("the request's body is null, expected a JSON object");
            }
            return request;
        } catch (UnrecognizedPropertyException e) {
            String known =
                    e.getKnownPropertyIds().stream()
                            .map(String::valueOf)
                            .sorted()
                            .collect(Collectors.joining(", "));
            throw ApiException.badRequest(
                    "unknown field " + path(e) + " in the request; known are " + known);
        } catch (JsonMappingException e) {
            if (e.getCause() instanceof ApiException cause) {
                throw cause;
            }
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST,
                    "field " + path(e) + " of the request: " + mistake(e),
                    e);
        } catch (JsonProcessingException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST,
                    "the request's body is no JSON: " + e.getOriginalMessage(),
                    e);
        } catch (IOException e) {
            throw new IllegalStateException("reading bytes in memory failed", e);
        }
    }

    /** Jackson's words, without its advice to whoever configures Jackson. */
    private static String mistake(JsonMappingException e) {
        String words = e.getOriginalMessage();
        int advice = words.indexOf(" (set DeserializationConfig");
        return words.startsWith("Cannot map `null`")
                ? "it is missing"
                : advice < 0 ? words : words.substring(0, advice);
    }

    private static String path(DatabindException e) {
        return e instanceof JsonMappingException mapping
                ? mapping.getPath().stream()
                        .map(
                                step ->
                                        step.getFieldName() == null
                                                ? "[" + step.getIndex() + "]"
                                                : step.getFieldName())
                        .collect(Collectors.joining("."))
                : "";
    }

    /** What a daemon answered. */
    static JsonNode readAnswer(byte[] body) throws IOException {
        JsonNode tree = LENIENT.readTree(body);
        if (tree == null || !tree.isObject()) {
            throw new IOException(
                    "expected a JSON object, found "
                            + (tree == null ? "nothing" : tree.getNodeType()));
        }
        return tree;
    }

    static <T> T convert(JsonNode node, Class<T> type) throws IOException {
        return LENIENT.treeToValue(node, type);
    }
}
