/**
 * What a domain says and hears between two commits: the output that waits for its epoch's commit on
 * the primary, and the frames toward the guest that a survivor must hear again on the secondary.
 * Bytes and order only: sockets and threads belong to the adapter.
 *
 * <pre>
 *   guest ─► append ─► | open epoch |  closeEpoch(n)  | closed ≤ n |  release(n)  | released | ─► batch, written
 *                      └──────────── held, never leaves ───────────┘
 * </pre>
 */
package holdfast.engine.output;
