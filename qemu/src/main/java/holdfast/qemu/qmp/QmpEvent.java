package holdfast.qemu.qmp;

import com.fasterxml.jackson.databind.JsonNode;

/**
 * Something QEMU told unasked.
 *
 * @param name as in QEMU's documentation, such as {@code STOP} or {@code BLOCK_JOB_READY}
 * @param data an object, empty where the event carries nothing
 * @param timestampMicros wall-clock time at QEMU in microseconds since 1970, negative if QEMU could
 *     not tell
 */
public record QmpEvent(String name, JsonNode data, long timestampMicros) {}
