/**
 * Takes a stream from {@code xl migrate} or {@code xl remus} on standard input into an image file:
 * performs what {@link holdfast.engine.xlmigrate.ReceiverMachine} decides.
 *
 * <pre>
 *   standard input ──► reader thread ──► SenderInput ──► verifier ──► machine ──► standard output
 *                                            └──► ImageFile (beside its name until the end)
 * </pre>
 */
package holdfast.cli.receive;
