/** What can go wrong in a schedule, and when. */
package holdfast.sim.fault;
