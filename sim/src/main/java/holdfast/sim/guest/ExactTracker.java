package holdfast.sim.guest;

import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.DirtyTracker;

/** Knows every write, at once. */
public final class ExactTracker implements DirtyTracker {
    private final SimGuest guest;
    private final PfnSet written;

    public ExactTracker(SimGuest guest) {
        this.guest = guest;
        this.written = new PfnSet(guest.memory().pages());
        guest.watch(written::add);
    }

    @Override
    public String kind() {
        return "exact";
    }

    @Override
    public void collect(PfnSet into) {
        into.addAll(written);
        written.clear();
    }

    @Override
    public void close() {
        guest.watch(_ -> {});
    }
}
