package holdfast.qemu.qmp;

import com.fasterxml.jackson.databind.JsonNode;

import holdfast.engine.HypervisorException;

/** QEMU's answer to one command, for callers to whom a refusal is a value. */
public sealed interface QmpReply {
    /**
     * The command was carried out.
     *
     * @param value what it returned, an empty object where it returns nothing
     */
    record Returned(JsonNode value) implements QmpReply {}

    /**
     * The command was refused or failed.
     *
     * @param errorClass such as {@code GenericError} or {@code CommandNotFound}
     * @param description QEMU's own text, for people
     */
    record Failed(String errorClass, String description) implements QmpReply {}

    /**
     * The value of a command that must have worked.
     *
     * @param command its name, for the error
     * @throws HypervisorException if it did not
     */
    default JsonNode orThrow(String command) {
        return switch (this) {
            case Returned(JsonNode value) -> value;
            case Failed(String errorClass, String description) ->
                    throw new HypervisorException(command, errorClass + ": " + description);
        };
    }
}
