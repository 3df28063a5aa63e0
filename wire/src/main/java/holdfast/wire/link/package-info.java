/**
 * The protocol between two nodes. A frame is a header of 16 bytes and a body:
 *
 * <pre>
 *   0               4       6          8                  12                 16
 *   body bytes u32  type u16 reserved u16  CRC-32C of the body u32  CRC-32C of bytes 0..11 u32
 * </pre>
 *
 * All numbers are big-endian. The first frame of every connection is HELLO, answered by WELCOME or
 * REFUSED; these three never change, so that two nodes of any versions understand the refusal.
 * After WELCOME the connection's kind says what may follow: CONTROL carries the two sealed halves
 * {@link holdfast.wire.link.LinkMessage.ToSecondary} and {@link
 * holdfast.wire.link.LinkMessage.ToPrimary}; BULK is from then on one Xen stream without frames;
 * INBOUND carries {@link holdfast.wire.link.LinkMessage.InboundFrame} only; DISK {@link
 * holdfast.wire.link.LinkMessage.DiskMessage}s, each DISK_WRITE followed by its bytes; INQUIRY one
 * question and its answer.
 */
package holdfast.wire.link;
