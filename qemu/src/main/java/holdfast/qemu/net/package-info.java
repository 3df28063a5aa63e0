/**
 * The NICs of a running QEMU: holding what the guest sends, copying and replaying what it hears.
 * All of it is built from QEMU's own net filters, attached and removed while the guest runs.
 *
 * <pre>
 *  guest ──► filter-redirector queue=rx ──outdev──► drain thread ─► HeldOutput ─► writer thread ──indev──► network
 *  network ──► filter-mirror queue=tx ──► guest
 *                      └──outdev──► reader thread ─► InboundLog ─► delivery thread ─► Sink
 *  InboundReplay ──indev──► filter-redirector queue=tx ──► guest
 *
 *  frame on a filter socket = length u32, vnet_hdr_len u32, length bytes     (big-endian)
 * </pre>
 *
 * <p>QEMU writes to a filter's socket from its main loop and waits there while the socket is full,
 * its monitor included. So whoever attaches a filter reads it, in a thread of its own, until the
 * filter is gone; without room the bytes are dropped, never left unread.
 *
 * <p>QEMU refuses filters on NICs with vhost or several queues.
 */
package holdfast.qemu.net;
