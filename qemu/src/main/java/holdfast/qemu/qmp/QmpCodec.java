package holdfast.qemu.qmp;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;

import java.io.IOException;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** Lines of the monitor protocol and what they mean. */
final class QmpCodec {
    /** Longest line taken; the schema of a current QEMU, the longest answer known, has 0.3 MB. */
    static final int LINE_BYTES_MAX = 16 << 20;

    private static final ObjectMapper JSON =
            JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();
    private static final String ID = "id";

    /** What every command ends with. */
    static final byte[] END = {'}', '\n'};

    private QmpCodec() {}

    /**
     * One command as a line.
     *
     * @param verb {@code execute} or {@code exec-oob}
     */
    static byte[] encode(String verb, QmpCommand command, long id) {
        Map<String, Object> message = new LinkedHashMap<>();
        message.put(verb, command.name());
        if (!command.arguments().isEmpty()) {
            message.put("arguments", command.arguments());
        }
        message.put(ID, id);
        try {
            byte[] json = JSON.writeValueAsBytes(message);
            byte[] line = Arrays.copyOf(json, json.length + 1);
            line[json.length] = '\n';
            return line;
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(command.name() + ": arguments are not JSON", e);
        }
    }

    /** A command without its {@link #END}. */
    static byte[] beginning(byte[] line) {
        return Arrays.copyOf(line, line.length - END.length);
    }

    /**
     * Reads one line, without its line end.
     *
     * @throws MalformedLineException if it is no message of this protocol
     */
    static QmpMessage decode(byte[] line, int offset, int length) throws MalformedLineException {
        JsonNode node;
        try {
            node = JSON.readTree(line, offset, length);
        } catch (IOException e) {
            throw new MalformedLineException("not JSON: " + e.getMessage());
        }
        if (!node.isObject()) {
            throw new MalformedLineException(
                    "found a " + node.getNodeType() + ", expected an object");
        }
        if (node.has("event")) {
            return new QmpMessage.Told(event(node));
        }
        if (node.has("QMP")) {
            return new QmpMessage.Hello(greeting(node.get("QMP")));
        }
        if (node.has("return")) {
            return new QmpMessage.Answer(id(node), new QmpReply.Returned(node.get("return")), node);
        }
        if (node.has("error")) {
            JsonNode error = node.get("error");
            QmpReply failed = new QmpReply.Failed(text(error, "class"), text(error, "desc"));
            return new QmpMessage.Answer(id(node), failed, node);
        }
        throw new MalformedLineException("neither greeting, reply nor event: " + excerpt(node));
    }

    private static QmpEvent event(JsonNode node) throws MalformedLineException {
        JsonNode data = node.path("data");
        JsonNode time = node.path("timestamp");
        long seconds = time.path("seconds").asLong(-1);
        long micros = seconds < 0 ? -1 : seconds * 1_000_000 + time.path("microseconds").asLong();
        return new QmpEvent(
                text(node, "event"),
                data.isObject() ? data : JsonNodeFactory.instance.objectNode(),
                micros);
    }

    private static QmpGreeting greeting(JsonNode node) throws MalformedLineException {
        JsonNode version = node.path("version");
        JsonNode release = version.path("qemu");
        Set<String> capabilities = new HashSet<>();
        node.path("capabilities").forEach(c -> capabilities.add(c.asText()));
        return new QmpGreeting(
                new QemuVersion(
                        number(release, "major"),
                        number(release, "minor"),
                        number(release, "micro")),
                version.path("package").asText(""),
                capabilities);
    }

    private static long id(JsonNode node) throws MalformedLineException {
        JsonNode id = node.path(ID);
        if (!id.canConvertToLong() || !id.isIntegralNumber()) {
            throw new MalformedLineException("a reply without our id: " + excerpt(node));
        }
        return id.longValue();
    }

    private static int number(JsonNode node, String field) throws MalformedLineException {
        JsonNode value = node.path(field);
        if (!value.canConvertToInt() || !value.isIntegralNumber()) {
            throw new MalformedLineException(field + ": found " + value + ", expected a number");
        }
        return value.intValue();
    }

    private static String text(JsonNode node, String field) throws MalformedLineException {
        JsonNode value = node.path(field);
        if (!value.isTextual()) {
            throw new MalformedLineException(field + ": found " + value + ", expected text");
        }
        return value.textValue();
    }

    /** The front of a message, for logs. */
    static String excerpt(JsonNode node) {
        String text = node.toString();
        return text.length() <= 300 ? text : text.substring(0, 300) + "... (" + text.length() + ")";
    }

    /** A line that is no message of the monitor protocol. */
    static final class MalformedLineException extends IOException {
        MalformedLineException(String message) {
            super(message);
        }
    }
}
