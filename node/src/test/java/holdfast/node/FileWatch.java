package holdfast.node;

import java.io.IOException;
import java.nio.file.Path;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.WatchEvent;
import java.nio.file.WatchKey;
import java.nio.file.WatchService;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** The kernel's word that somebody, this process or another, has made or written files. */
final class FileWatch implements AutoCloseable {
    private final WatchService service;
    private final Path what;
    private final Predicate<Object> counts;

    private FileWatch(WatchService service, Path what, Predicate<Object> counts) {
        this.service = service;
        this.what = what;
        this.counts = counts;
    }

    /** From now on; the file need not be there, its directory must. */
    static FileWatch of(Path file) throws IOException {
        return new FileWatch(
                service(file.toAbsolutePath().getParent()), file, file.getFileName()::equals);
    }

    /** Any file of a directory. */
    static FileWatch in(Path directory) throws IOException {
        return new FileWatch(service(directory), directory, _ -> true);
    }

    private static WatchService service(Path directory) throws IOException {
        WatchService service = directory.getFileSystem().newWatchService();
        directory.register(
                service,
                StandardWatchEventKinds.ENTRY_CREATE,
                StandardWatchEventKinds.ENTRY_MODIFY);
        return service;
    }

    /**
     * Waits for a write since the last call, or since the begin; several may count as one.
     *
     * @throws AssertionError if there is none until then
     */
    void awaitWrite(long untilNanos) throws InterruptedException {
        while (true) {
            WatchKey key = service.poll(untilNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (key == null) {
                throw new AssertionError("nobody writes " + what);
            }
            boolean written = false;
            for (WatchEvent<?> event : key.pollEvents()) {
                written |=
                        event.kind() == StandardWatchEventKinds.OVERFLOW
                                || counts.test(event.context());
            }
            key.reset();
            if (written) {
                return;
            }
        }
    }

    @Override
    public void close() throws IOException {
        service.close();
    }
}
