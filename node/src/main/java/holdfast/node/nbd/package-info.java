/**
 * The NBD server: block devices ("exports") offered by name on a Unix socket or on TCP.
 *
 * <pre>
 * accepter ─► NbdConnection (a platform thread each)
 *               Negotiation: options ─► export, structured replies, metadata context
 *               Transmission: NbdStream ─► request ─► NbdExport ─► reply ─► NbdStream
 * deadlines ─► closes what stalls
 * </pre>
 *
 * <p>One thread carries out a connection's requests in the order they came. It reads ahead as far
 * as its buffer goes and writes replies in batches: before it waits for the client, and when enough
 * have gathered; while a client does not take them, its next requests are not read. Clients that
 * want more at once open more connections, which share the export. A client that breaks the
 * protocol, stalls or goes away ends its own connection and nothing else.
 */
package holdfast.node.nbd;
