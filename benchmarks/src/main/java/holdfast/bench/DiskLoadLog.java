package holdfast.bench;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads what a guest says of its disk's load while it says it, by this host's clock: the guest's
 * own stands still while it is suspended.
 */
final class DiskLoadLog implements AutoCloseable {
    /** A guest's phase takes a hundred times as long. */
    private static final long LOOK_MILLIS = 1;

    private static final long END_MILLIS_MAX = 5_000;
    private static final Pattern PHASE =
            Pattern.compile(
                    "DISKLOAD (sequential (\\d+) MiB|(?:random|streamed) (\\d+) x 4 KiB)"
                            + " in \\d+ ms");

    /** What the guest writes by turns. */
    enum Kind {
        /** Blocks of 1 MiB in order, counted in MiB. */
        SEQUENTIAL,
        /** Blocks of 4 KiB anywhere, or in many streams at once, counted one by one. */
        RANDOM
    }

    /**
     * A phase that the guest has ended.
     *
     * @param amount written in it, in the unit of {@code kind}
     */
    record Phase(Kind kind, long amount, long beginNanos, long endNanos) {}

    private final Thread thread;
    private final List<Phase> phases = new ArrayList<>();
    private Exception failure;
    private volatile boolean closing;

    private DiskLoadLog(Path serial) {
        thread = Thread.ofPlatform().name("serial").daemon().unstarted(() -> read(serial));
    }

    /**
     * @param serial the guest's first serial port; exists
     */
    static DiskLoadLog open(Path serial) {
        DiskLoadLog log = new DiskLoadLog(serial);
        log.thread.start();
        return log;
    }

    private void read(Path serial) {
        StringBuilder line = new StringBuilder();
        byte[] some = new byte[4096];
        long before = 0;
        try (RandomAccessFile file = new RandomAccessFile(serial.toFile(), "r")) {
            while (!closing) {
                int count = file.read(some);
                long now = System.nanoTime();
                if (count <= 0) {
                    // A file has no event for more of it.
                    Thread.sleep(LOOK_MILLIS);
                    continue;
                }
                line.append(new String(some, 0, count, StandardCharsets.ISO_8859_1));
                int end = line.lastIndexOf("\n");
                Matcher ended = PHASE.matcher(line.substring(0, end + 1));
                while (ended.find()) {
                    if (before != 0) {
                        add(phase(ended, before, now));
                    }
                    before = now;
                }
                line.delete(0, end + 1);
            }
        } catch (IOException | InterruptedException | RuntimeException e) {
            fail(e);
        }
    }

    private static Phase phase(Matcher found, long beginNanos, long endNanos) {
        return found.group(2) != null
                ? new Phase(Kind.SEQUENTIAL, Long.parseLong(found.group(2)), beginNanos, endNanos)
                : new Phase(Kind.RANDOM, Long.parseLong(found.group(3)), beginNanos, endNanos);
    }

    private synchronized void add(Phase phase) {
        phases.add(phase);
    }

    private synchronized void fail(Exception e) {
        failure = e;
    }

    /** Amount a second over all phases that lie between two times. */
    synchronized double perSecond(Kind kind, long fromNanos, long toNanos) {
        if (failure != null) {
            throw new BenchException("the guest's serial port cannot be read", failure);
        }
        long amount = 0;
        long nanos = 0;
        for (Phase phase : phases) {
            if (phase.kind == kind && phase.beginNanos >= fromNanos && phase.endNanos <= toNanos) {
                amount += phase.amount;
                nanos += phase.endNanos - phase.beginNanos;
            }
        }
        if (nanos == 0) {
            throw new BenchException(
                    "the guest ended no "
                            + kind
                            + " phase in a round: give the rounds more --seconds");
        }
        return amount * 1e9 / nanos;
    }

    @Override
    public void close() {
        closing = true;
        try {
            thread.join(END_MILLIS_MAX);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
