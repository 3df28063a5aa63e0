package holdfast.wire.nbd;

import java.nio.charset.StandardCharsets;

/** Everything a client and a server say to each other but the data itself. Immutable. */
public sealed interface NbdMessage {
    /** UTF-8 bytes of a name, a query or a text, at most; the protocol's own limit. */
    int STRING_BYTES_MAX = 4096;

    /** Bytes of an option's data, at most. */
    int OPTION_BYTES_MAX = 64 * 1024;

    /** Kinds of information or metadata contexts one option may ask for, at most. */
    int QUERIES_MAX = 256;

    /** Bytes one READ or WRITE may move, at most; the limit clients assume unless told another. */
    int PAYLOAD_BYTES_MAX = 32 * 1024 * 1024;

    /** Descriptors in one block status reply, at most. */
    int EXTENTS_MAX = 8192;

    /** Largest number of an unsigned field of 32 bits. */
    long U32_MAX = 0xFFFF_FFFFL;

    /** What a client says. */
    sealed interface ToServer extends NbdMessage permits ClientFlags, NbdOption, NbdRequest {}

    /** What a server says. */
    sealed interface ToClient extends NbdMessage
            permits Greeting, ExportReply, NbdOptionReply, NbdReply {}

    /** First words of a server. Fixed newstyle is always offered: nothing older is spoken. */
    record Greeting(Padding padding) implements ToClient {}

    /** A client's answer to the greeting. */
    record ClientFlags(Padding padding) implements ToServer {}

    /** Whether 124 bytes of zeros follow {@link ExportReply}. */
    enum Padding {
        /** The form of old clients. */
        ZEROES,
        /** Offered by the server and accepted by the client. */
        NONE
    }

    /** Answer to {@link NbdOption.ExportName}; transmission follows. */
    record ExportReply(long sizeBytes, java.util.Set<TransmissionFlag> flags, Padding padding)
            implements ToClient {
        public ExportReply {
            flags = java.util.Set.copyOf(flags);
            require(sizeBytes >= 0, "export size", "no negative number", sizeBytes);
        }
    }

    /** {@code text}, cut at a character's border so that it fits an error's text. */
    static String clip(String text) {
        if (text.getBytes(StandardCharsets.UTF_8).length <= STRING_BYTES_MAX) {
            return text;
        }
        // At most three bytes a char: surrogate pairs take four for two.
        int end = STRING_BYTES_MAX / 3;
        return text.substring(0, Character.isHighSurrogate(text.charAt(end - 1)) ? end - 1 : end);
    }

    static void requireText(String field, String text) {
        int bytes = text.getBytes(StandardCharsets.UTF_8).length;
        require(
                bytes <= STRING_BYTES_MAX,
                field,
                "at most " + STRING_BYTES_MAX + " bytes of UTF-8",
                bytes);
        require(text.indexOf('\0') < 0, field, "no NUL", text.indexOf('\0'));
    }

    static void requireU32(String field, long value) {
        require(value >= 0 && value <= U32_MAX, field, "0.." + U32_MAX, value);
    }

    static void require(boolean legal, String field, String expected, long found) {
        if (!legal) {
            throw new IllegalFieldException(field, expected, Long.toString(found));
        }
    }
}
