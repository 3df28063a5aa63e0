package holdfast.node.disk;

/** What images are opened for: what is wrong with one is told with the step that comes next. */
enum ImageUse {
    /** A session that protects a domain fills them. */
    REPLICA("the replica's images", "protect the domain again"),

    /** A domain that moves here brings their content along. */
    ARRIVAL("the images of the domain that moves here", "move the domain again"),

    /** A daemon that was started brings them up to what a session committed. */
    RECOVERY(
            "the images of a session that is over",
            "start the daemon again, or protect the domain again");

    private final String images;
    private final String again;

    ImageUse(String images, String again) {
        this.images = images;
        this.again = again;
    }

    /** All of them, at the begin of a sentence. */
    String images() {
        return images;
    }

    /** What an operator does once the cause is gone. */
    String again() {
        return again;
    }
}
