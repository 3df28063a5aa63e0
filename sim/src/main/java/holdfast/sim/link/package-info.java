/**
 * Simulated connections between two nodes: delay, jitter, windows, and what goes wrong with them.
 */
package holdfast.sim.link;
