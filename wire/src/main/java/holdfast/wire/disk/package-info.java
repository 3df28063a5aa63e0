/**
 * The journal of a replica's disks: what the guest wrote, epoch by epoch, until it is in the
 * images.
 *
 * <pre>
 *   journal  = segment*                   files, numbered without a gap
 *   segment  = header (batch | commit)* [end]
 *   batch    = record header, body        writes of one epoch, numbered from 0 within it
 *   body     = (write header, [data, zeros to 8])*
 * </pre>
 *
 * Batches stand in the order of the guest's writes. A commit says how many batches its epoch has
 * and makes them count, whatever follows; a batch of the epoch after may stand before it. Every
 * record names its segment: what an older use of the same file left behind is never taken for new.
 */
package holdfast.wire.disk;
