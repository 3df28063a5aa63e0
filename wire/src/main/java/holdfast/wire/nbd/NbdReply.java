package holdfast.wire.nbd;

import java.util.List;

/**
 * What a server answers in transmission. Without structured replies only the two simple ones occur;
 * with them READ and BLOCK_STATUS are answered in chunks, of which one is the last.
 */
public sealed interface NbdReply extends NbdMessage.ToClient {
    /** Numbers of chunks on the wire. */
    enum ChunkType {
        NONE(0),
        OFFSET_DATA(1),
        OFFSET_HOLE(2),
        BLOCK_STATUS(5),
        ERROR(0x8001),
        ERROR_OFFSET(0x8002);

        private final int number;

        ChunkType(int number) {
            this.number = number;
        }

        /** The number on the wire. */
        public int number() {
            return number;
        }
    }

    /** Whether more chunks of the same reply follow. */
    enum Position {
        MORE,
        LAST
    }

    /** The number of the request that is answered. */
    long cookie();

    /** Done; the data of a READ follow. */
    record SimpleSuccess(long cookie) implements NbdReply {}

    /** Not done; nothing follows. */
    record SimpleError(long cookie, NbdError error) implements NbdReply {}

    /** Nothing more; the last chunk. */
    record Done(long cookie) implements NbdReply {}

    /** Data of a READ; {@code dataBytes} bytes follow. */
    record OffsetData(long cookie, Position position, long offset, int dataBytes)
            implements NbdReply {
        public OffsetData {
            NbdMessage.require(
                    dataBytes >= 1 && dataBytes <= NbdMessage.PAYLOAD_BYTES_MAX,
                    "OFFSET_DATA length",
                    "1.." + NbdMessage.PAYLOAD_BYTES_MAX,
                    dataBytes);
        }
    }

    /** Zeros that need not travel. */
    record OffsetHole(long cookie, Position position, long offset, long holeBytes)
            implements NbdReply {
        public OffsetHole {
            NbdMessage.require(
                    holeBytes >= 1 && holeBytes <= NbdMessage.U32_MAX,
                    "OFFSET_HOLE length",
                    "1.." + NbdMessage.U32_MAX,
                    holeBytes);
        }
    }

    /** What a metadata context says about consecutive extents from the request's offset on. */
    record BlockStatus(long cookie, Position position, long contextId, List<Extent> extents)
            implements NbdReply {
        public BlockStatus {
            extents = List.copyOf(extents);
            NbdMessage.requireU32("BLOCK_STATUS context", contextId);
            NbdMessage.require(
                    !extents.isEmpty() && extents.size() <= NbdMessage.EXTENTS_MAX,
                    "BLOCK_STATUS extents",
                    "1.." + NbdMessage.EXTENTS_MAX,
                    extents.size());
        }
    }

    /**
     * @param flags of the context; for {@code base:allocation} {@link #HOLE} and {@link #ZERO}
     */
    record Extent(long lengthBytes, int flags) {
        /** Nothing is allocated. */
        public static final int HOLE = 1;

        /** Reads as zeros. */
        public static final int ZERO = 2;

        public Extent {
            NbdMessage.require(
                    lengthBytes >= 1 && lengthBytes <= NbdMessage.U32_MAX,
                    "extent length",
                    "1.." + NbdMessage.U32_MAX,
                    lengthBytes);
        }
    }

    /** The request failed. */
    record ErrorChunk(long cookie, Position position, NbdError error, String text)
            implements NbdReply {
        public ErrorChunk {
            NbdMessage.requireText("ERROR text", text);
        }
    }

    /** The request failed at an offset. */
    record ErrorOffset(long cookie, Position position, NbdError error, String text, long offset)
            implements NbdReply {
        public ErrorOffset {
            NbdMessage.requireText("ERROR_OFFSET text", text);
        }
    }
}
