package holdfast.wire.nbd;

/**
 * A value that no message may carry; the decoder turns it into a {@code ProtocolException} with its
 * place.
 */
final class IllegalFieldException extends IllegalArgumentException {
    private final String field;
    private final String expected;
    private final String found;

    IllegalFieldException(String field, String expected, String found) {
        super(field + ": expected " + expected + ", found " + found);
        this.field = field;
        this.expected = expected;
        this.found = found;
    }

    String field() {
        return field;
    }

    String expected() {
        return expected;
    }

    String found() {
        return found;
    }
}
