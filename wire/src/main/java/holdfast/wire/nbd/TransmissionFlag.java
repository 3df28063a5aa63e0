package holdfast.wire.nbd;

import java.util.EnumSet;
import java.util.Set;

/** What a server says about an export and the commands it takes. */
public enum TransmissionFlag {
    /** The other flags count; always set. */
    HAS_FLAGS(0),
    /** Writing commands are answered with EPERM. */
    READ_ONLY(1),
    /** FLUSH is taken. */
    SEND_FLUSH(2),
    /** The FUA flag is honoured. */
    SEND_FUA(3),
    /** Behaves like a spinning disk. */
    ROTATIONAL(4),
    /** TRIM is taken. */
    SEND_TRIM(5),
    /** WRITE_ZEROES is taken, with NO_HOLE. */
    SEND_WRITE_ZEROES(6),
    /** READ may say that its data must come in one chunk. */
    SEND_DF(7),
    /** A FLUSH on one connection covers what completed on all. */
    CAN_MULTI_CONN(8),
    /** CACHE is taken. */
    SEND_CACHE(10),
    /** WRITE_ZEROES may say that it must be quicker than writing. */
    SEND_FAST_ZERO(11);

    private final int bit;

    TransmissionFlag(int bit) {
        this.bit = bit;
    }

    /** Bit number in the field of 16 bits. */
    public int bit() {
        return bit;
    }

    static int bits(Set<TransmissionFlag> flags) {
        int bits = 0;
        for (TransmissionFlag flag : flags) {
            bits |= 1 << flag.bit;
        }
        return bits;
    }

    /** Bits that nothing is known of are left out, as the protocol wants of a client. */
    static Set<TransmissionFlag> of(int bits) {
        EnumSet<TransmissionFlag> flags = EnumSet.noneOf(TransmissionFlag.class);
        for (TransmissionFlag flag : values()) {
            if ((bits >> flag.bit & 1) != 0) {
                flags.add(flag);
            }
        }
        return flags;
    }
}
