package holdfast.sim.fault;

/**
 * Unwinds a session whose node just died in the middle of a step. An error and not an exception, so
 * that no reaction of the session to failures can run on a dead node.
 */
public final class NodeCrash extends Error {
    public NodeCrash(String node) {
        super("node " + node + " crashed", null, false, false);
    }
}
