package holdfast.node.config;

/**
 * One thing wrong in a file.
 *
 * @param file as the operator named it
 * @param line from 1
 * @param column from 1
 * @param text key, what was found, what is allowed
 */
public record Mistake(String file, int line, int column, String text) {
    @Override
    public String toString() {
        return file + ":" + line + ":" + column + ": " + text;
    }
}
