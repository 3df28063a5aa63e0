package holdfast.sim.world;

import holdfast.sim.fault.NodeCrash;

/** A host. */
final class SimNode {
    private enum Power {
        UP,
        CRASHED,
        /** Crashed, and its remains are being freed: calls of ports do nothing. */
        SWEPT
    }

    private final String name;
    private Power power = Power.UP;

    SimNode(String name) {
        this.name = name;
    }

    String name() {
        return name;
    }

    boolean alive() {
        return power == Power.UP;
    }

    void crash() {
        power = Power.CRASHED;
    }

    void sweep() {
        power = Power.SWEPT;
    }

    /**
     * Whether a call of a port has an effect.
     *
     * @throws NodeCrash if this node is dead: whoever called is not there any more
     */
    boolean acts() {
        return switch (power) {
            case UP -> true;
            case SWEPT -> false;
            case CRASHED -> throw new NodeCrash(name);
        };
    }
}
