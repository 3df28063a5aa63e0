package holdfast.bench;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * What a measurement must not leave behind: processes, memory files, directories. Closed by the
 * measurement itself, or by the end of this virtual machine where Ctrl-C comes first; the last
 * thing made goes first, each is tried, and none twice.
 */
final class Cleanup implements AutoCloseable {
    private final Deque<AutoCloseable> things = new ArrayDeque<>();
    private final Thread hook = new Thread(this::closeAll, "bench-cleanup");

    Cleanup() {
        Runtime.getRuntime().addShutdownHook(hook);
    }

    synchronized <T extends AutoCloseable> T add(T thing) {
        things.push(thing);
        return thing;
    }

    private synchronized void closeAll() {
        while (!things.isEmpty()) {
            try {
                things.pop().close();
            } catch (Exception e) {
                System.err.println("bench: cleaning up: " + e.getMessage());
            }
        }
    }

    @Override
    public void close() {
        closeAll();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException ending) {
            // The hook runs anyhow, and finds nothing.
            return;
        }
    }
}
