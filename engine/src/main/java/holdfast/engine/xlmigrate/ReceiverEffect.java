package holdfast.engine.xlmigrate;

import holdfast.wire.xen.XlToSender;

/** What a step asks of whoever drives the machine, in order. */
public sealed interface ReceiverEffect {
    /** Write one message to the sender. If that fails: {@link ReceiverEvent.SenderUnreachable}. */
    record Send(XlToSender message) implements ReceiverEffect {}

    /** Verify the stream while it is written beside its final name, until something happens. */
    record ReceiveStream() implements ReceiverEffect {}

    /**
     * Cut the image to this many bytes and force it to the disk: {@link ReceiverEvent.ImageSecured}
     * or {@link ReceiverEvent.ImageFailed}.
     */
    record SecureImage(long bytes) implements ReceiverEffect {}

    /** Wait for the sender's message behind the stream. */
    record AwaitPermission() implements ReceiverEffect {}

    /**
     * Give the image its name: {@link ReceiverEvent.ImagePublished} or {@link
     * ReceiverEvent.ImageFailed}.
     */
    record PublishImage() implements ReceiverEffect {}

    /** Delete what was written. */
    record DiscardImage() implements ReceiverEffect {}
}
