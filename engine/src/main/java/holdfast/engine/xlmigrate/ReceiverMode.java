package holdfast.engine.xlmigrate;

/** Which of xl's two conversations the receiver was started for; the stream itself does not say. */
public enum ReceiverMode {
    /** {@code xl migrate}: one stream to its END, then the handshake. */
    MIGRATE,
    /** {@code xl remus}: checkpoints until the end of file, and no answer ever. */
    REMUS
}
