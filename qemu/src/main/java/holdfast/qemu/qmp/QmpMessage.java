package holdfast.qemu.qmp;

import com.fasterxml.jackson.databind.JsonNode;

/** What may arrive on a monitor socket, one per line. */
sealed interface QmpMessage {
    /** The first line of a connection. */
    record Hello(QmpGreeting greeting) implements QmpMessage {}

    /** The answer to the command that carried {@code id}. */
    record Answer(long id, QmpReply reply, JsonNode raw) implements QmpMessage {}

    /** An event. */
    record Told(QmpEvent event) implements QmpMessage {}
}
