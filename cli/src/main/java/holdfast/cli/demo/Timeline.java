package holdfast.cli.demo;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What happened when, told while it happens and once more, as a picture, at the end. Used by one
 * thread.
 */
public final class Timeline {
    private record Moment(long nanos, String text) {}

    private final PrintStream progress;
    private final long startNanos = System.nanoTime();
    private final List<Moment> moments = new ArrayList<>();

    /**
     * @param progress where the demo speaks while it works
     */
    public Timeline(PrintStream progress) {
        this.progress = progress;
    }

    void happened(String text) {
        happened(System.nanoTime(), text);
    }

    /**
     * @param nanos when, on the clock of {@link System#nanoTime()}
     */
    void happened(long nanos, String text) {
        moments.add(new Moment(nanos, text));
        progress.println(line(nanos, text));
    }

    /** Progress that the final picture leaves out. */
    void working(String text) {
        progress.println(line(System.nanoTime(), "  " + text));
    }

    private String line(long nanos, String text) {
        return String.format(Locale.ROOT, "%7.3f s  %s", (nanos - startNanos) / 1e9, text);
    }

    /** The moments in order of time, with the distance to the one before. */
    String picture() {
        StringBuilder picture = new StringBuilder();
        List<Moment> ordered =
                moments.stream().sorted((a, b) -> Long.compare(a.nanos, b.nanos)).toList();
        long before = startNanos;
        for (Moment moment : ordered) {
            picture.append(
                    String.format(
                            Locale.ROOT,
                            "%9.3f s %11s  %s%n",
                            (moment.nanos - startNanos) / 1e9,
                            "+" + distance(moment.nanos - before),
                            moment.text));
            before = moment.nanos;
        }
        return picture.toString();
    }

    private static String distance(long nanos) {
        return nanos < 1_000_000_000L
                ? String.format(Locale.ROOT, "%.1f ms", nanos / 1e6)
                : String.format(Locale.ROOT, "%.2f s", nanos / 1e9);
    }
}
