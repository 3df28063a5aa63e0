package holdfast.node.config;

import java.util.List;
import java.util.stream.Collectors;

/** A file with mistakes; the message has a line for each, in the file's order. */
public final class ConfigException extends RuntimeException {
    private final transient List<Mistake> mistakes;

    ConfigException(List<Mistake> mistakes, Throwable cause) {
        super(mistakes.stream().map(Mistake::toString).collect(Collectors.joining("\n")), cause);
        this.mistakes = List.copyOf(mistakes);
    }

    public List<Mistake> mistakes() {
        return mistakes;
    }
}
