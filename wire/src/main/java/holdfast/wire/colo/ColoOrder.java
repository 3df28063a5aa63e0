package holdfast.wire.colo;

import holdfast.wire.ProtocolException;

/**
 * Which message may come next: READY once, then for every checkpoint REQUEST, REPLY, VMSTATE_SEND,
 * VMSTATE_SIZE, VMSTATE_RECEIVED, VMSTATE_LOADED. Immutable; both sides keep one and feed it what
 * they send and what they receive.
 *
 * @param due what has to come next
 * @param checkpoints checkpoints that were loaded so far
 */
public record ColoOrder(Due due, long checkpoints) {
    /** The one message that may come next. */
    public enum Due {
        /** The secondary has not yet reported its initial state. */
        CHECKPOINT_READY,
        /** Between two checkpoints. */
        CHECKPOINT_REQUEST,
        /** The secondary has been asked. */
        CHECKPOINT_REPLY,
        /** The primary may suspend and send. */
        VMSTATE_SEND,
        /** Memory is on its way; the device state's length comes next. */
        VMSTATE_SIZE,
        /** Device state is on its way. */
        VMSTATE_RECEIVED,
        /** The checkpoint is committed and being applied. */
        VMSTATE_LOADED
    }

    /** Before the first message. */
    public static ColoOrder start() {
        return new ColoOrder(Due.CHECKPOINT_READY, 0);
    }

    /**
     * The order after this message.
     *
     * @throws ProtocolException if another message is due
     */
    public ColoOrder next(ColoMessage message) {
        Due found = dueOf(message);
        if (found != due) {
            throw new ProtocolException(
                    "colo messages",
                    ProtocolException.OFFSET_UNKNOWN,
                    "order after " + checkpoints + " checkpoints",
                    due.name(),
                    found.name());
        }
        return switch (due) {
            case CHECKPOINT_READY -> new ColoOrder(Due.CHECKPOINT_REQUEST, checkpoints);
            case CHECKPOINT_REQUEST -> new ColoOrder(Due.CHECKPOINT_REPLY, checkpoints);
            case CHECKPOINT_REPLY -> new ColoOrder(Due.VMSTATE_SEND, checkpoints);
            case VMSTATE_SEND -> new ColoOrder(Due.VMSTATE_SIZE, checkpoints);
            case VMSTATE_SIZE -> new ColoOrder(Due.VMSTATE_RECEIVED, checkpoints);
            case VMSTATE_RECEIVED -> new ColoOrder(Due.VMSTATE_LOADED, checkpoints);
            case VMSTATE_LOADED -> new ColoOrder(Due.CHECKPOINT_REQUEST, checkpoints + 1);
        };
    }

    private static Due dueOf(ColoMessage message) {
        return switch (message) {
            case ToPrimary.CheckpointReady _ -> Due.CHECKPOINT_READY;
            case ToSecondary.CheckpointRequest _ -> Due.CHECKPOINT_REQUEST;
            case ToPrimary.CheckpointReply _ -> Due.CHECKPOINT_REPLY;
            case ToSecondary.VmstateSend _ -> Due.VMSTATE_SEND;
            case ToSecondary.VmstateSize _ -> Due.VMSTATE_SIZE;
            case ToPrimary.VmstateReceived _ -> Due.VMSTATE_RECEIVED;
            case ToPrimary.VmstateLoaded _ -> Due.VMSTATE_LOADED;
        };
    }
}
