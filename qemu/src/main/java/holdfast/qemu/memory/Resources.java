package holdfast.qemu.memory;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * What an {@code open} has opened so far: closed in reverse order, each tried, if it does not come
 * to its end.
 */
final class Resources {
    /** A resource whose close throws nothing checked. */
    @FunctionalInterface
    interface Closing extends AutoCloseable {
        @Override
        void close();
    }

    private final Deque<AutoCloseable> opened = new ArrayDeque<>();

    <T extends AutoCloseable> T add(T resource) {
        opened.push(resource);
        return resource;
    }

    void add(Closing closing) {
        opened.push(closing);
    }

    /** Closes all on the way out with a failure; a failing close is added to it as suppressed. */
    void closeAfter(Throwable failure) {
        for (AutoCloseable resource : opened) {
            try {
                resource.close();
            } catch (Exception e) {
                failure.addSuppressed(e);
            }
        }
        opened.clear();
    }

    /** Closes all; the first failure is thrown at the end, the others suppressed in it. */
    void close() {
        IllegalStateException failure = new IllegalStateException("closing failed");
        closeAfter(failure);
        if (failure.getSuppressed().length > 0) {
            throw failure;
        }
    }
}
