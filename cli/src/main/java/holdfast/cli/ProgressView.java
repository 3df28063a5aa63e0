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

    /** A line longer than the terminal is cut by it: a second row could not be drawn over. */
    private static final String NO_WRAP = "\u001b[?7l";

    private static final String WRAP = "\u001b[?7h";
    private static final String CLEAR_REST = "\u001b[K";

    private final Surroundings surroundings;
    private String shown = "";
    private long shownNanos;
    private volatile boolean drawn;
    private final Thread interrupted;

    /**
     * @param left what to say to a user who ends the command before its end, or empty
     */
    ProgressView(Surroundings surroundings, String left) {
        this.surroundings = surroundings;
        this.interrupted = Thread.ofPlatform().unstarted(() -> leave(left));
        Runtime.getRuntime().addShutdownHook(interrupted);
    }

    private void leave(String left) {
        endLine();
        if (!left.isEmpty()) {
            surroundings.err().println("holdfast: " + left);
            surroundings.err().flush();
        }
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
        surroundings.err().print("\r" + NO_WRAP + line + CLEAR_REST + WRAP);
        surroundings.err().flush();
        drawn = true;
    }

    /** Leaves the last line as it stands. */
    @Override
    public void close() {
        try {
            Runtime.getRuntime().removeShutdownHook(interrupted);
        } catch (IllegalStateException e) {
            // The user ends this command: the hook says so.
            return;
        }
        endLine();
    }

    private void endLine() {
        if (drawn) {
            surroundings.err().println();
            drawn = false;
        }
    }
}
