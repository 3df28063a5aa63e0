package holdfast.wire.xen;

/**
 * One of the fixed messages that the two halves of {@code xl migrate} exchange around the stream.
 * Split by who reads it, so that neither side has a case it can never meet.
 */
public sealed interface XlMessage permits XlToReceiver, XlToSender {}
