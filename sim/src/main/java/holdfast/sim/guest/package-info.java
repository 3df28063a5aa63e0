/** Simulated guests: memory, a program, its device state, its dirty pages and its held output. */
package holdfast.sim.guest;
