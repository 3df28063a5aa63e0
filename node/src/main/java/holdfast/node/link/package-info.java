/**
 * Sessions over TCP. A link is three connections, all opened by the primary: CONTROL (session
 * messages, back channel, heartbeats), BULK (the Xen stream) and INBOUND (frames toward the guest).
 *
 * <pre>
 * thread             does                                                       blocked by
 * link-control-*     all of CONTROL with a selector: frames both ways,          nothing
 *                    heartbeats, the peer's silence
 * link-bulk-*        runs the pieces of the bulk stream / reads checkpoints     the peer, the disk of a tee
 * link-inbound-*     sends / receives inbound frames                            the peer
 * </pre>
 *
 * <p>Only CONTROL decides that a peer is lost: by the end of the connection without CLOSE (its
 * process died: the kernel says so at once), or by silence beyond the deadline. A BULK connection
 * that breaks while CONTROL lives is a fault to be ended in order, never a death.
 *
 * <p>Nothing here is encrypted or authenticated yet: guest memory travels in the clear and whoever
 * reaches the port can open sessions. Use a network that only the nodes share.
 */
package holdfast.node.link;
