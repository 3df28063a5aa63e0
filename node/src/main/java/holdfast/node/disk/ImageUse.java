package holdfast.node.disk;

/** What images are opened for: what is wrong with one is told with the step that comes next. */
enum ImageUse {
    /** A session that protects a domain fills them. */
    REPLICA(
            "the replica's images",
            "protect the domain again",
            "if both nodes share it, that is the domain itself, whose disk cannot be its own"
                    + " replica: name another image as `replica` in its description, or start this"
                    + " node with --replica-directory; else end that process"),

    /** A domain that moves here brings their content along. */
    ARRIVAL(
            "the images of the domain that moves here",
            "move the domain again",
            "end that, or name another image"),

    /** A daemon that was started brings them up to what a session committed. */
    RECOVERY(
            "the images of a session that is over",
            "start the daemon again, or protect the domain again",
            "end that process");

    private final String images;
    private final String again;
    private final String ifInUse;

    ImageUse(String images, String again, String ifInUse) {
        this.images = images;
        this.again = again;
        this.ifInUse = ifInUse;
    }

    /** All of them, at the begin of a sentence. */
    String images() {
        return images;
    }

    /** What an operator does once the cause is gone. */
    String again() {
        return again;
    }

    /** What an operator does about another process that has one open. */
    String ifInUse() {
        return ifInUse;
    }
}
