package holdfast.wire.nbd;

/** Kinds of information about an export. */
public enum InfoType {
    /** Size and transmission flags; always sent. */
    EXPORT(0),
    /** The name the server knows it by. */
    NAME(1),
    /** A text for people. */
    DESCRIPTION(2),
    /** Which sizes of requests it takes. */
    BLOCK_SIZE(3);

    private final int number;

    InfoType(int number) {
        this.number = number;
    }

    /** The number on the wire. */
    public int number() {
        return number;
    }
}
