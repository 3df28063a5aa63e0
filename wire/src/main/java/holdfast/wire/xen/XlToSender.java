package holdfast.wire.xen;

/** What the receiver says. */
public sealed interface XlToSender extends XlMessage {
    /** The stream may come; the sender writes nothing before it has this. */
    record Banner() implements XlToSender {}

    /** The whole stream is here. A sender that never gets this resumes its own copy. */
    record DomainReceived() implements XlToSender {}

    /**
     * What became of the receiver's copy.
     *
     * @param status 0: it runs, and the sender destroys its own; 1 to 255: it does not run, and
     *     {@link DomainIsYoursAgain} follows
     */
    record UnpauseResult(int status) implements XlToSender {
        public UnpauseResult {
            IllegalRecordException.checkRange(
                    "unpause status", status, 0, XlMessageCodec.STATUS_MAX);
        }
    }

    /**
     * The receiver's copy does not run and never will; the sender may resume its own. The bytes are
     * those of {@link XlToReceiver.DomainIsYours}.
     */
    record DomainIsYoursAgain() implements XlToSender {}
}
