/**
 * A replica's disks between two commits: where each part of an open epoch's writes is kept, and
 * which epochs a journal found after a crash commits. Order and bounds only: files and threads
 * belong to the adapter.
 *
 * <pre>
 *   write ─► filling ─► unwritten ─► written ─► (given up) ─► applied
 *            └── memory only ────┘  └ memory,     journal      neither
 *                                     journal     alone
 * </pre>
 *
 * A batch is written to the journal when its epoch commits, or before that where memory is short.
 * What is written may be given up and read again.
 */
package holdfast.engine.disk;
