/**
 * Migrations on two simulated nodes in one thread: the engine's own sessions, a link whose messages
 * arrive in order or are lost from some point on, processes and hosts that die after any step, and
 * what a daemon does that finds a migration of its predecessor. After every step the guest runs at
 * one place at most; at the end at exactly one, or it died with its host, or a state names who
 * holds it.
 */
package holdfast.sim.migrate;
