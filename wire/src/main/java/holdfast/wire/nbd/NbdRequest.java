package holdfast.wire.nbd;

/**
 * What a client asks for in transmission. A cookie is the client's own number; the reply repeats
 * it. Offsets are unsigned 64 bits wide: an export's end, which this package does not know, bounds
 * them.
 */
public sealed interface NbdRequest extends NbdMessage.ToServer {
    /** Flag: reply only when what was written is on stable storage. Legal on every request. */
    int FUA = 1;

    /** Flag of WRITE_ZEROES: the blocks stay allocated. */
    int NO_HOLE = 1 << 1;

    /** Flag of READ: the data come in one chunk. */
    int DF = 1 << 2;

    /** Flag of BLOCK_STATUS: one extent is enough. */
    int REQ_ONE = 1 << 3;

    /** Flag of WRITE_ZEROES: fail unless it is quicker than writing. */
    int FAST_ZERO = 1 << 4;

    /** Numbers of requests on the wire, with the flags that each allows. */
    enum Type {
        READ(0, FUA | DF),
        WRITE(1, FUA),
        DISC(2, FUA),
        FLUSH(3, FUA),
        TRIM(4, FUA),
        CACHE(5, FUA),
        WRITE_ZEROES(6, FUA | NO_HOLE | FAST_ZERO),
        BLOCK_STATUS(7, FUA | REQ_ONE);

        private final int number;
        private final int flagsAllowed;

        Type(int number, int flagsAllowed) {
            this.number = number;
            this.flagsAllowed = flagsAllowed;
        }

        /** The number on the wire. */
        public int number() {
            return number;
        }

        int flagsAllowed() {
            return flagsAllowed;
        }
    }

    long cookie();

    /** Bits of the flags above. */
    int flags();

    /** Whether the reply waits for stable storage. */
    default boolean fua() {
        return (flags() & FUA) != 0;
    }

    /** Read bytes. */
    record Read(long cookie, int flags, long offset, int lengthBytes) implements NbdRequest {
        public Read {
            requireFlags(Type.READ, flags);
            requirePayload(Type.READ, lengthBytes);
        }
    }

    /** Write the bytes that follow. */
    record Write(long cookie, int flags, long offset, int lengthBytes) implements NbdRequest {
        public Write {
            requireFlags(Type.WRITE, flags);
            requirePayload(Type.WRITE, lengthBytes);
        }
    }

    /** Nothing follows; there is no reply. */
    record Disconnect(long cookie, int flags) implements NbdRequest {
        public Disconnect {
            requireFlags(Type.DISC, flags);
        }
    }

    /** Bring everything whose reply was sent to stable storage. */
    record Flush(long cookie, int flags) implements NbdRequest {
        public Flush {
            requireFlags(Type.FLUSH, flags);
        }
    }

    /** The content is no longer needed. */
    record Trim(long cookie, int flags, long offset, long lengthBytes) implements NbdRequest {
        public Trim {
            requireFlags(Type.TRIM, flags);
            NbdMessage.requireU32("TRIM length", lengthBytes);
        }
    }

    /** The content will be read soon. */
    record Cache(long cookie, int flags, long offset, long lengthBytes) implements NbdRequest {
        public Cache {
            requireFlags(Type.CACHE, flags);
            NbdMessage.requireU32("CACHE length", lengthBytes);
        }
    }

    /** Make it read as zeros. */
    record WriteZeroes(long cookie, int flags, long offset, long lengthBytes)
            implements NbdRequest {
        public WriteZeroes {
            requireFlags(Type.WRITE_ZEROES, flags);
            NbdMessage.requireU32("WRITE_ZEROES length", lengthBytes);
        }
    }

    /** What is allocated? At least one byte is asked about. */
    record BlockStatus(long cookie, int flags, long offset, long lengthBytes)
            implements NbdRequest {
        public BlockStatus {
            requireFlags(Type.BLOCK_STATUS, flags);
            NbdMessage.require(
                    lengthBytes >= 1 && lengthBytes <= NbdMessage.U32_MAX,
                    "BLOCK_STATUS length",
                    "1.." + NbdMessage.U32_MAX,
                    lengthBytes);
        }
    }

    /**
     * Framed well, and not to be carried out: an unknown number, a flag out of place, a length that
     * is not allowed. It is answered with EINVAL, after its payload was skipped.
     *
     * @param reason for the client's log
     */
    record Illegal(long cookie, int flags, int type, long offset, long lengthBytes, String reason)
            implements NbdRequest {
        public Illegal {
            NbdMessage.require(flags >= 0 && flags <= 0xFFFF, "flags", "0..65535", flags);
            NbdMessage.require(type >= 0 && type <= 0xFFFF, "type", "0..65535", type);
            NbdMessage.requireU32("length", lengthBytes);
            NbdMessage.requireText("reason", reason);
        }

        /** Bytes that follow and belong to nothing. */
        public int payloadBytes() {
            return type == Type.WRITE.number ? Math.toIntExact(lengthBytes) : 0;
        }
    }

    private static void requireFlags(Type type, int flags) {
        if ((flags & ~type.flagsAllowed) != 0) {
            throw new IllegalFieldException(
                    type + " flags",
                    "no bits but " + Integer.toHexString(type.flagsAllowed),
                    Integer.toHexString(flags));
        }
    }

    private static void requirePayload(Type type, int lengthBytes) {
        if (lengthBytes < 0 || lengthBytes > NbdMessage.PAYLOAD_BYTES_MAX) {
            throw new IllegalFieldException(
                    type + " length",
                    "at most " + NbdMessage.PAYLOAD_BYTES_MAX + " bytes",
                    Integer.toUnsignedString(lengthBytes));
        }
    }
}
