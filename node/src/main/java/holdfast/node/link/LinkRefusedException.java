package holdfast.node.link;

import java.io.IOException;

/** The other node answered, and said no. Nothing was changed there. */
public class LinkRefusedException extends IOException {
    private final boolean sameNode;

    LinkRefusedException(String message) {
        this(message, false);
    }

    LinkRefusedException(String message, boolean sameNode) {
        super(message);
        this.sameNode = sameNode;
    }

    /** Whether the node that was asked is the one that asks. */
    public boolean isSameNode() {
        return sameNode;
    }
}
