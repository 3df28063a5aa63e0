package holdfast.node;

import holdfast.node.nbd.NbdExport;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

/** Mirrored disks whose exports fail or hang when told to. */
final class FaultyMirroring implements AutoCloseable {
    private final List<FaultyExport> made = new CopyOnWriteArrayList<>();
    private volatile Consumer<FaultyExport> onNext = _ -> {};

    Mirroring within(Duration stall, Duration hang) {
        return new Mirroring(stall, hang, this::faulty);
    }

    private NbdExport faulty(NbdExport target) {
        FaultyExport export = new FaultyExport(target);
        Consumer<FaultyExport> now = onNext;
        onNext = _ -> {};
        now.accept(export);
        made.add(export);
        return export;
    }

    /**
     * What the next export is told before it is served; which may be what to tell the one after it.
     */
    void tellNext(Consumer<FaultyExport> what) {
        onNext = what;
    }

    FaultyExport newest() {
        return made.getLast();
    }

    /** Threads that hang go on. */
    @Override
    public void close() {
        made.forEach(FaultyExport::release);
    }
}
