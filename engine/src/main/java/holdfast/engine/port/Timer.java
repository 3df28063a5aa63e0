package holdfast.engine.port;

/**
 * Delivers events to a session later.
 *
 * @param <E> the session's events
 */
@FunctionalInterface
public interface Timer<E> {
    /**
     * Delivers {@code event} after {@code delayNanos}, in the session's own order of events. There
     * is no cancelling: sessions ignore timers that no longer matter.
     */
    void after(long delayNanos, E event);
}
