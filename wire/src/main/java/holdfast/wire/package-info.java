/**
 * What all wire formats share: how a broken rule is reported, and small immutable blobs. The
 * formats themselves have a package each and know nothing of each other, of sockets or of engines.
 */
package holdfast.wire;
