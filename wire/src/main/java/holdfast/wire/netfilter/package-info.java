/**
 * How QEMU's filter-mirror and filter-redirector put frames on a character device socket; {@code
 * -netdev stream} sockets use the form without a virtio-net header.
 *
 * <pre>
 *   stream = frame*
 *   frame  = length:u32 bytes[length]                     big-endian, LENGTH_ONLY
 *          | length:u32 vnetHeaderBytes:u32 bytes[length] big-endian, WITH_VNET_HEADER
 *
 *   0        4                 8
 *   +--------+-----------------+------------------------+----------------+
 *   | length | vnetHeaderBytes | virtio-net header      | Ethernet frame |
 *   +--------+-----------------+------------------------+----------------+
 *                              |&lt;----------- length bytes ----------------&gt;|
 * </pre>
 */
package holdfast.wire.netfilter;
