/**
 * A simulated world: two nodes, their sessions of the real engine, a client, an arbiter, and what
 * is checked.
 */
package holdfast.sim.world;
