/**
 * The shells around the engine's sessions: one owner thread each, one bounded queue, a timer in the
 * same wait, meters, logs, and immutable snapshots for everybody else.
 *
 * <pre>
 * link, monitor, tracker, gate ──post──►┐
 * timers that are due ──────────────────┤ SessionQueue ──► owner thread ──► session.handle ──► ports
 * operator ──request──► (when nothing else waits)
 * </pre>
 */
package holdfast.node.session;
