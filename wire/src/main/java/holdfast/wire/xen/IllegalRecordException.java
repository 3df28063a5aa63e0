package holdfast.wire.xen;

import holdfast.wire.ProtocolException;

/**
 * A record was about to hold an illegal value. Writers see it as the {@link
 * IllegalArgumentException} it is; decoders turn it into a {@link ProtocolException} with the
 * offset, so that both sides share one rule.
 */
final class IllegalRecordException extends IllegalArgumentException {
    private final String field;
    private final String expected;
    private final String found;

    IllegalRecordException(String field, String expected, String found) {
        super(field + ": expected " + expected + ", found " + found);
        this.field = field;
        this.expected = expected;
        this.found = found;
    }

    ProtocolException at(String stream, long offset) {
        return new ProtocolException(stream, offset, field, expected, found);
    }

    /** Refuses a value outside {@code min..max}, both inclusive. */
    static void checkRange(String field, long value, long min, long max) {
        if (value < min || value > max) {
            throw new IllegalRecordException(field, min + ".." + max, Long.toString(value));
        }
    }

    static void checkU32(String field, long value) {
        checkRange(field, value, 0, 0xFFFF_FFFFL);
    }
}
