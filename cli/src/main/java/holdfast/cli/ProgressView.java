package holdfast.cli;

import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;

/**
 * Shows progress on standard error: one line drawn over and over for a person, a line for each new
 * stage or round otherwise.
 */
final class ProgressView implements ProgressListener, AutoCloseable {
    private static final int BAR_CHARS = 30;
    private static final long REPEAT_NANOS = 1_000_000_000L;

    private final Surroundings surroundings;
    private String shown = "";
    private long shownNanos;
    private int drawnChars;

    ProgressView(Surroundings surroundings) {
        this.surroundings = surroundings;
    }

    @Override
    public void progress(Progress progress) {
        switch (surroundings.terminal()) {
            case PRESENT -> draw(bar(progress) + progress.text());
            case ABSENT -> {
                String key = progress.stage() + " " + progress.round();
                long now = System.nanoTime();
                if (!key.equals(shown) || now - shownNanos > REPEAT_NANOS) {
                    shown = key;
                    shownNanos = now;
                    surroundings.err().println(progress.text());
                }
            }
        }
    }

    private static String bar(Progress progress) {
        if (progress.totalBytes() == 0) {
            return "";
        }
        double part = Math.min(1.0, (double) progress.doneBytes() / progress.totalBytes());
        int full = (int) (part * BAR_CHARS);
        return "["
                + "#".repeat(full)
                + ".".repeat(BAR_CHARS - full)
                + "] "
                + (int) (part * 100)
                + "% ";
    }

    private void draw(String line) {
        surroundings.err().print("\r" + line + " ".repeat(Math.max(0, drawnChars - line.length())));
        surroundings.err().flush();
        drawnChars = line.length();
    }

    /** Leaves the last line as it stands. */
    @Override
    public void close() {
        if (drawnChars > 0) {
            surroundings.err().println();
            drawnChars = 0;
        }
    }
}
