package holdfast.wire.nbd;

import java.util.Set;

/** What a server answers to an option; {@code option} repeats the option's number. */
public sealed interface NbdOptionReply extends NbdMessage.ToClient {
    /** Numbers of reply types on the wire. */
    enum Type {
        ACK(1),
        SERVER(2),
        INFO(3),
        META_CONTEXT(4);

        private final int number;

        Type(int number) {
            this.number = number;
        }

        /** The number on the wire. */
        public int number() {
            return number;
        }
    }

    /** Why an option is not granted. */
    enum Refusal {
        /** The option is not known here. */
        ERR_UNSUP(1),
        /** The option is known, and this server does not allow it. */
        ERR_POLICY(2),
        /** The option's data make no sense, or it came at the wrong time. */
        ERR_INVALID(3),
        /** Not on this platform. */
        ERR_PLATFORM(4),
        /** Not before TLS. */
        ERR_TLS_REQD(5),
        /** There is no such export. */
        ERR_UNKNOWN(6),
        /** The server is closing. */
        ERR_SHUTDOWN(7),
        /** Not before the client has asked for block sizes. */
        ERR_BLOCK_SIZE_REQD(8),
        /** The option's data are too long. */
        ERR_TOO_BIG(9);

        private final int number;

        Refusal(int number) {
            this.number = 0x8000_0000 | number;
        }

        /** The number on the wire, with bit 31 set. */
        public int number() {
            return number;
        }
    }

    /** The number of the option that is answered. */
    int option();

    /** The option is granted, or all its answers were sent. */
    record Ack(int option) implements NbdOptionReply {}

    /** One export of the list. */
    record Server(String name, String details) implements NbdOptionReply {
        public Server {
            NbdMessage.requireText("SERVER name", name);
            NbdMessage.requireText("SERVER details", details);
        }

        @Override
        public int option() {
            return NbdOption.Type.LIST.number();
        }
    }

    /** Size and abilities. */
    record InfoExport(int option, long sizeBytes, Set<TransmissionFlag> flags)
            implements NbdOptionReply {
        public InfoExport {
            flags = Set.copyOf(flags);
            NbdMessage.require(sizeBytes >= 0, "INFO export size", "no negative number", sizeBytes);
        }
    }

    /** The canonical name. */
    record InfoName(int option, String name) implements NbdOptionReply {
        public InfoName {
            NbdMessage.requireText("INFO name", name);
        }
    }

    /** A text for people. */
    record InfoDescription(int option, String text) implements NbdOptionReply {
        public InfoDescription {
            NbdMessage.requireText("INFO description", text);
        }
    }

    /**
     * Sizes of requests.
     *
     * @param minimumBytes offsets and lengths are multiples of it; a power of two to 64 KiB
     * @param preferredBytes multiples of it are quickest; a power of two from 512 on
     * @param maximumBytes of a READ or WRITE
     */
    record InfoBlockSize(int option, long minimumBytes, long preferredBytes, long maximumBytes)
            implements NbdOptionReply {
        public InfoBlockSize {
            NbdMessage.require(
                    powerOfTwo(minimumBytes) && minimumBytes <= 65536,
                    "INFO minimum block size",
                    "a power of two to 65536",
                    minimumBytes);
            NbdMessage.require(
                    powerOfTwo(preferredBytes)
                            && preferredBytes >= Math.max(512, minimumBytes)
                            && preferredBytes <= NbdMessage.PAYLOAD_BYTES_MAX,
                    "INFO preferred block size",
                    "a power of two from 512 and the minimum to " + NbdMessage.PAYLOAD_BYTES_MAX,
                    preferredBytes);
            NbdMessage.require(
                    maximumBytes == NbdMessage.U32_MAX
                            || maximumBytes >= preferredBytes
                                    && maximumBytes < NbdMessage.U32_MAX
                                    && maximumBytes % minimumBytes == 0,
                    "INFO maximum block size",
                    "a multiple of the minimum from the preferred size on",
                    maximumBytes);
        }

        private static boolean powerOfTwo(long value) {
            return Long.bitCount(value) == 1 && value > 0;
        }
    }

    /** One metadata context, with the number that block status will name it by. */
    record MetaContext(int option, long id, String name) implements NbdOptionReply {
        public MetaContext {
            NbdMessage.requireU32("META_CONTEXT id", id);
            NbdMessage.requireText("META_CONTEXT name", name);
        }
    }

    /** The option is not granted; the handshake goes on. */
    record Refused(int option, Refusal refusal, String text) implements NbdOptionReply {
        public Refused {
            NbdMessage.requireText(refusal + " text", text);
        }
    }
}
