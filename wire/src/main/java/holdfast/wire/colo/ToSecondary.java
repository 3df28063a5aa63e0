package holdfast.wire.colo;

/** What the primary says. */
public sealed interface ToSecondary extends ColoMessage {
    /** Prepare for a checkpoint. */
    record CheckpointRequest() implements ToSecondary {}

    /** The primary is suspended; its state follows. */
    record VmstateSend() implements ToSecondary {}

    /**
     * How much device state follows.
     *
     * @param stateBytes 0 to {@link ColoCodec#VMSTATE_BYTES_MAX}
     */
    record VmstateSize(long stateBytes) implements ToSecondary {
        public VmstateSize {
            if (stateBytes < 0 || stateBytes > ColoCodec.VMSTATE_BYTES_MAX) {
                throw new IllegalArgumentException(
                        "VMSTATE_SIZE of "
                                + Long.toUnsignedString(stateBytes)
                                + " bytes, expected 0.."
                                + ColoCodec.VMSTATE_BYTES_MAX);
            }
        }
    }
}
