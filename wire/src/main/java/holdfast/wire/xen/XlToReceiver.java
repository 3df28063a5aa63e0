package holdfast.wire.xen;

/** What the sender says besides the stream. */
public sealed interface XlToReceiver extends XlMessage {
    /**
     * The domain is the receiver's, which may let it run. The sender's point of no return: it has
     * given its own copy another name already and does nothing more before it has an answer.
     */
    record DomainIsYours() implements XlToReceiver {}
}
