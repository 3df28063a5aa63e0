package holdfast.node.session;

import java.util.ArrayList;
import java.util.List;

/**
 * Lines for the log from a guest's pause, written when it is over: one takes some tenth of a
 * millisecond, and there are half a dozen. Used by the session's thread.
 */
final class PauseLines {
    private final List<Runnable> kept = new ArrayList<>();

    /** Whether the guest stands still for this session. */
    enum Guest {
        PAUSED,
        ELSE
    }

    /** Writes a line, after those that were kept, or keeps it. */
    void add(Guest guest, Runnable line) {
        kept.add(line);
        if (guest == Guest.ELSE) {
            write();
        }
    }

    /** Writes what was kept. */
    void write() {
        kept.forEach(Runnable::run);
        kept.clear();
    }
}
