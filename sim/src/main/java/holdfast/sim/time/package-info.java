/** Virtual time: a heap of what is due. */
package holdfast.sim.time;
