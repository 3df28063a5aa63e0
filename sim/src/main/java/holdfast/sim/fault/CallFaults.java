package holdfast.sim.fault;

import holdfast.engine.HypervisorException;

import java.util.EnumMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/** Counts calls of ports and lets chosen ones fail. */
public final class CallFaults {
    private final Map<Site, Long> calls = new EnumMap<>(Site.class);
    private final Set<Fault.FailCall> planned = new HashSet<>();
    private final Consumer<Site> struck;

    /**
     * @param struck hears of each call that was made to fail
     */
    public CallFaults(Consumer<Site> struck) {
        this.struck = struck;
    }

    public void plan(Fault.FailCall fault) {
        planned.add(fault);
    }

    /**
     * A call is about to happen.
     *
     * @throws HypervisorException if this one is to fail
     */
    public void call(Site site) {
        long nth = calls.merge(site, 1L, Long::sum) - 1;
        if (planned.remove(new Fault.FailCall(site, nth))) {
            struck.accept(site);
            throw new HypervisorException(site.name(), "made to fail, call " + nth);
        }
    }
}
