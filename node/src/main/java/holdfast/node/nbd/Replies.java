package holdfast.node.nbd;

/** The form of replies that a client has chosen. */
enum Replies {
    SIMPLE,
    STRUCTURED
}
