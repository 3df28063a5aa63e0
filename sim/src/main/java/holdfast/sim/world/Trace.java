package holdfast.sim.world;

import holdfast.sim.time.VirtualTime;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;

/** What happened, for people: time, who, what. */
public final class Trace {
    /** Whether lines are kept. */
    public enum Keeping {
        NOTHING,
        EVERYTHING
    }

    private final Keeping keeping;
    private final VirtualTime time;
    private final List<String> lines = new ArrayList<>();

    Trace(Keeping keeping, VirtualTime time) {
        this.keeping = keeping;
        this.time = time;
    }

    void say(String who, Supplier<String> what) {
        if (keeping == Keeping.EVERYTHING) {
            lines.add(
                    String.format(
                            Locale.ROOT,
                            "%11.3f ms  %-10s %s",
                            time.nanos() / 1e6,
                            who,
                            what.get()));
        }
    }

    public List<String> lines() {
        return List.copyOf(lines);
    }
}
