/** What must hold after every step, checked from where everything can be seen. */
package holdfast.sim.check;
