package holdfast.engine.migrate;

import holdfast.engine.port.Domain;

import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * A domain that is on its way to this node, as its hypervisor sees it. Called by the session's
 * thread.
 */
public interface Arrival {
    /**
     * Starts the hypervisor, stopped, and looks whether everything can be had here.
     *
     * @throws holdfast.engine.HypervisorException if it cannot
     */
    Cookies.Prepared prepare();

    /**
     * Gives the hypervisor the RAM blocks outside main memory before the rest.
     *
     * @throws holdfast.engine.HypervisorException if it does not take them: the guest need not be
     *     suspended for it
     */
    void offerBase(MemorySegment base);

    /**
     * Gives the hypervisor a part of the device sections; main memory is complete. All of them must
     * not be loaded before the feature {@code devices} is brought up, for only then it is known
     * that they are whole. Never throws: what failed is in that feature's report.
     *
     * @param base the newest; equal for all parts
     * @param part what follows the part before; valid until the session ends
     */
    void offerSections(MemorySegment base, MemorySegment part);

    /** Brings a feature up. Never throws: what failed is in the report. */
    FeatureReport bringUp(Feature feature);

    /**
     * The migration will not go on: whatever is being brought up need not be waited for. Never
     * blocks; any thread. One whose features take no time has nothing to do.
     */
    default void giveUp() {}

    /** Takes it down again. Never throws. */
    FeatureReport takeDown(FeatureReport up);

    /** What {@link #run} came to. */
    sealed interface Run {
        /** The guest runs. */
        record Ran(Domain domain) implements Run {}

        /** It does not, and did not for a moment. */
        record NeverRan(String reason) implements Run {}

        /** Its process was ended; it may have run before. */
        record MayHaveRun(String reason) implements Run {}
    }

    /**
     * Notes that the domain is this node's with {@code generation}, so that it holds whatever
     * process dies, then lets the guest run.
     */
    Run run(long generation);

    /**
     * After the source was told that the guest runs: writes the note down durably, and does what
     * only costs time if it fails.
     */
    void settle(Domain domain);

    /**
     * Ends the copy, frees what it took, and writes down durably that it never ran; before the
     * return nothing may be said of it.
     *
     * @param reports features that were tried, and what became of them when they were taken down
     * @return the same with what could not be freed
     */
    List<FeatureReport> discard(String reason, List<FeatureReport> reports);
}
