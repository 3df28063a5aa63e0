package holdfast.engine.reprotect;

/**
 * What was tried in vain since the domain was last soundly protected.
 *
 * @param attempts all of them
 * @param copies those whose session copied what the domain holds: the next one costs as much again
 */
public record InVain(int attempts, int copies) {
    static final InVain NOTHING = new InVain(0, 0);

    public InVain {
        if (copies < 0 || copies > attempts) {
            throw new IllegalArgumentException(copies + " copies in " + attempts + " attempts");
        }
    }

    InVain attempt() {
        return new InVain(attempts + 1, copies);
    }

    InVain copy() {
        return new InVain(attempts + 1, copies + 1);
    }
}
