package holdfast.cli.demo;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * What the guest says of its own memory: it keeps pages of which it knows every word, compares and
 * rewrites them all the time, and says so on its console, which all its QEMUs append to one file.
 */
final class MemoryVerdicts {
    private static final int PAGES = 256;
    private static final int PAUSE_MILLIS = 50;
    private static final String GOOD = "MEMORY  OK at ";
    private static final String BAD = "MEMORY BAD at ";
    private static final String ENDED = "memory-checker ended";
    private static final long LIMIT_NANOS = TimeUnit.SECONDS.toNanos(30);

    private final Path console;

    /** A console that is appended to. */
    MemoryVerdicts(Path console) {
        this.console = console;
    }

    /** What the guest's kernel is told. */
    String commandLine() {
        return "hf.memory=" + PAGES + "," + PAUSE_MILLIS;
    }

    /** More of the domain's description. */
    String yaml() {
        // A file of QEMU's own serial port would be emptied by the QEMU that waits.
        return "extra: [-chardev, \"file,id=verdicts,append=on,path="
                + console
                + "\", -serial, \"chardev:verdicts\"]";
    }

    /**
     * Waits until every page was verified by passes that began from now on: the first line may end
     * one that began before.
     *
     * @throws DemoException if a page was not what it must be, or nothing is said
     */
    void await() {
        long from = lengthBytes();
        long until = System.nanoTime() + LIMIT_NANOS;
        while (true) {
            List<String> lines = linesFrom(from);
            lines.stream()
                    .filter(line -> line.contains(BAD) || line.contains(ENDED))
                    .findFirst()
                    .ifPresent(
                            line -> {
                                throw new DemoException("the guest finds its memory bad: " + line);
                            });
            if (lines.stream().filter(line -> line.contains(GOOD)).count() >= 2) {
                return;
            }
            if (System.nanoTime() - until > 0) {
                throw new DemoException(
                        "the guest says nothing of its memory for "
                                + TimeUnit.NANOSECONDS.toSeconds(LIMIT_NANOS)
                                + " s: "
                                + console);
            }
            Demo.sleep(20);
        }
    }

    private long lengthBytes() {
        try {
            return Files.size(console);
        } catch (IOException e) {
            throw new DemoException("the guest has no console: " + e.getMessage(), e);
        }
    }

    /** Whole lines; one that is being written counts when it is there. */
    private List<String> linesFrom(long offset) {
        try (RandomAccessFile file = new RandomAccessFile(console.toFile(), "r")) {
            byte[] bytes = new byte[(int) Math.max(0, file.length() - offset)];
            file.seek(offset);
            file.readFully(bytes);
            String text = new String(bytes, StandardCharsets.US_ASCII);
            return text.substring(0, text.lastIndexOf('\n') + 1).lines().toList();
        } catch (IOException e) {
            throw new DemoException("cannot read " + console + ": " + e.getMessage(), e);
        }
    }
}
