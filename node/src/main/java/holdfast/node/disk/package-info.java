/**
 * A replica's images and their journal, on real files.
 *
 * <pre>
 *   link's reader ─ write ─► EpochBuffer ── memory full ──► journal
 *   session ─ commit ──────► what is left of the epoch, COMMIT, fdatasync ──► journal
 *   session ─ apply ───────► applier thread ──► images ── fdatasync ──► finished segments are removed
 * </pre>
 *
 * The state of {@link holdfast.node.disk.ReplicaImages} has a lock that is held for bookkeeping
 * alone; appending to the journal has one of its own, because the order of its records is what it
 * is for; images have one writer at a time, first the link's reader, then the applier.
 */
package holdfast.node.disk;
