package holdfast.node.store;

/**
 * How a domain's description is written down.
 *
 * @param <S> what describes a domain
 */
public interface SpecCodec<S> {
    String write(S spec);

    /** Any RuntimeException means that {@code text} is damaged; its message says why. */
    S read(String file, String text);
}
