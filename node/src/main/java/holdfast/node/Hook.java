package holdfast.node;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * A user's executable that brings something up on a migration's destination: a port profile, a
 * firewall's rules, a load balancer.
 *
 * @param limit it is killed, with its children, when it takes longer
 */
record Hook(String name, Path executable, Duration limit) {
    private static final int OUTPUT_BYTES_MAX = 4096;

    /** What it is told to do. */
    enum Verb {
        INIT("init"),
        DEINIT("deinit");

        private final String word;

        Verb(String word) {
            this.word = word;
        }
    }

    /**
     * @param ok whether it said, by its exit status, that it did
     * @param text what it printed, or why it could not
     */
    record Result(boolean ok, String text) {}

    static Hook in(Path directory, String name, Duration limit) {
        return new Hook(name, directory.resolve(name), limit);
    }

    /** Why it cannot be run; empty if it can. */
    String missing() {
        if (!Files.isRegularFile(executable)) {
            return executable + " does not exist; put the hook there, executable";
        }
        return Files.isExecutable(executable)
                ? ""
                : executable + " is not executable: chmod +x " + executable;
    }

    /**
     * Runs it to its end.
     *
     * @param environment beside the daemon's own
     */
    Result run(Verb verb, String domain, String migration, Map<String, String> environment) {
        String missing = missing();
        if (!missing.isEmpty()) {
            return new Result(false, missing);
        }
        Process process;
        try {
            ProcessBuilder builder =
                    new ProcessBuilder(executable.toString(), verb.word, domain, migration)
                            .redirectInput(Path.of("/dev/null").toFile())
                            .redirectErrorStream(true);
            builder.environment().putAll(environment);
            process = builder.start();
        } catch (IOException e) {
            return new Result(false, executable + " cannot be run: " + e.getMessage());
        }
        CompletableFuture<String> output =
                CompletableFuture.supplyAsync(
                        () -> read(process.getInputStream()),
                        task -> Thread.ofVirtual().name("hook-" + name).start(task));
        try {
            if (!process.waitFor(limit)) {
                end(process);
                return new Result(
                        false,
                        "did not end within "
                                + limit.toMillis()
                                + " ms and was killed; it said: "
                                + said(output));
            }
            String text = said(output);
            return process.exitValue() == 0
                    ? new Result(true, text)
                    : new Result(false, "exit status " + process.exitValue() + ": " + text);
        } catch (InterruptedException e) {
            end(process);
            Thread.currentThread().interrupt();
            return new Result(false, "interrupted");
        }
    }

    private static void end(Process process) {
        List<ProcessHandle> children = process.descendants().toList();
        // By its handle: Process.destroyForcibly would close the pipe before what it said is read.
        process.toHandle().destroyForcibly();
        children.forEach(ProcessHandle::destroyForcibly);
    }

    /** A child that was left behind may keep the pipe open: its words are not waited for. */
    private static String said(CompletableFuture<String> output) throws InterruptedException {
        try {
            String text = output.get(1, TimeUnit.SECONDS).strip();
            return text.isEmpty() ? "(it said nothing)" : text;
        } catch (TimeoutException e) {
            return "(it left a process behind that keeps its output open)";
        } catch (ExecutionException e) {
            return "(its output could not be read: " + e.getCause() + ")";
        }
    }

    private static String read(InputStream in) {
        try (in) {
            byte[] kept = in.readNBytes(OUTPUT_BYTES_MAX);
            in.transferTo(java.io.OutputStream.nullOutputStream());
            return new String(kept, StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
