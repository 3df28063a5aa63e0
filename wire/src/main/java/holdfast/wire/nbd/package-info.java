/**
 * The Network Block Device protocol: fixed newstyle handshake with option negotiation, then
 * requests with simple or structured replies. All numbers are big-endian.
 *
 * <pre>
 * connection   = Greeting ClientFlags option* transmission
 * option       = NbdOption NbdOptionReply*           GO and EXPORT_NAME end the handshake
 * transmission = (NbdRequest payload?)* Disconnect   one reply a request, in any order
 * reply        = SimpleSuccess data? | SimpleError                   without structured replies
 *              | (OffsetData data | other chunk)* chunk with "last"  with them
 * </pre>
 *
 * <p>{@link holdfast.wire.nbd.HandshakeCodec} and {@link holdfast.wire.nbd.TransmissionCodec} are
 * the only places that know numbers, sizes and byte order. The bytes of WRITE's payload and of
 * READ's data follow their record on the stream and are no part of it.
 *
 * @spec https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md The NBD protocol
 */
package holdfast.wire.nbd;
