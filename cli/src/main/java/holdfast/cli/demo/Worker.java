package holdfast.cli.demo;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** A long-running process of the demo whose output lines are events. */
public final class Worker implements AutoCloseable {
    private static final int LINES_MAX = 100_000;
    private static final String ENDED = "\0ended";

    private final String name;
    private final Process process;
    private final LinkedBlockingQueue<String> lines = new LinkedBlockingQueue<>(LINES_MAX);

    private Worker(String name, Process process) {
        this.name = name;
        this.process = process;
    }

    /** Starts a process; its standard error goes to {@code log}. */
    static Worker start(String name, List<String> command, Path log) {
        try {
            Process process = new ProcessBuilder(command).redirectError(log.toFile()).start();
            Worker worker = new Worker(name, process);
            Thread.ofVirtual().name(name).start(worker::read);
            return worker;
        } catch (IOException e) {
            throw new DemoException(name + " cannot be started: " + e.getMessage(), e);
        }
    }

    /** Starts a process all of whose output goes to {@code log}. */
    static Process startQuiet(String name, List<String> command, Path log) {
        try {
            return new ProcessBuilder(command)
                    .redirectInput(new File("/dev/null"))
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
        } catch (IOException e) {
            throw new DemoException(name + " cannot be started: " + e.getMessage(), e);
        }
    }

    private void read() {
        try (BufferedReader reader =
                new BufferedReader(
                        new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                lines.add(line);
            }
        } catch (IOException e) {
            lines.add("failed " + e);
        }
        lines.add(ENDED);
    }

    /** Waits for the first line that matches, passing over others. */
    public String await(Predicate<String> matching, String what, long seconds) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        try {
            while (true) {
                String line = lines.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
                if (line == null) {
                    throw new DemoException(
                            name + ": " + what + " did not happen within " + seconds + " s");
                }
                if (line.equals(ENDED)) {
                    throw new DemoException(name + " ended before " + what);
                }
                if (matching.test(line)) {
                    return line;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DemoException("interrupted while waiting for " + what, e);
        }
    }

    /** The newest line that matches among those that have come, or the fallback. */
    public String latest(Predicate<String> matching, String fallback) {
        String latest = fallback;
        for (String line = lines.peek(); line != null && !line.equals(ENDED); line = lines.peek()) {
            if (matching.test(line)) {
                latest = line;
            }
            lines.remove();
        }
        return latest;
    }

    public void tell(String line) {
        try {
            process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
            process.getOutputStream().flush();
        } catch (IOException e) {
            throw new DemoException(name + " does not listen: " + e.getMessage(), e);
        }
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }
}
