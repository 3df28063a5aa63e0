/**
 * The deterministic simulator: the engine's own sessions, encoder and reader on virtual time.
 *
 * <pre>
 *  time   what is due next
 *  guest  memory, a program, dirty pages, held output
 *  link   control connection, bulk stream, a reader thread in lockstep
 *  fault  what goes wrong, and when
 *  check  what must hold
 *  world  all of it together: a plan drawn from a seed, a schedule that runs it
 * </pre>
 */
package holdfast.sim;
