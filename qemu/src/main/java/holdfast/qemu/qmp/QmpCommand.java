package holdfast.qemu.qmp;

import java.util.Map;

/**
 * A command with its arguments.
 *
 * @param arguments texts, numbers, booleans, lists, maps and JSON nodes by name; not changed while
 *     this is in use
 */
public record QmpCommand(String name, Map<String, ?> arguments) {
    public static final QmpCommand STOP = new QmpCommand("stop");
    public static final QmpCommand CONTINUE = new QmpCommand("cont");
    public static final QmpCommand QUERY_STATUS = new QmpCommand("query-status");

    public QmpCommand(String name) {
        this(name, Map.of());
    }
}
