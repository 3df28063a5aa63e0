package holdfast.wire.xen;

/**
 * The first place where a stream leaves the format.
 *
 * @param rule which rule was broken
 * @param offset bytes from the start of the stream to what breaks it
 * @param record the header or record it is in
 * @param expected what the format asks for
 * @param found what is there
 */
public record StreamDeviation(
        StreamRule rule, long offset, String record, String expected, String found) {
    @Override
    public String toString() {
        return rule
                + " at offset "
                + offset
                + " in "
                + record
                + ": expected "
                + expected
                + ", found "
                + found;
    }
}
