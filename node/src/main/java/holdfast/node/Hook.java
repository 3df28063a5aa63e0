package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.ProcessIdentity;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
    /** Of its environment, and so of its children's. */
    static final String MIGRATION_VARIABLE = "HOLDFAST_MIGRATION";

    static final String NAME_VARIABLE = "HOLDFAST_HOOK";
    private static final int OUTPUT_BYTES_MAX = 4096;
    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);

    /** What it is told to do. */
    enum Verb {
        INIT("init"),
        DEINIT("deinit");

        private final String word;

        Verb(String word) {
            this.word = word;
        }
    }

    /** How a run of it came to its end. */
    enum End {
        /** It said, by its exit status, that it did it. */
        DONE,
        /** It said that it did not, or could not be run. */
        FAILED,
        /** It was killed: how far it got is not known. */
        KILLED
    }

    /**
     * @param text what it printed, or why it could not
     */
    record Result(End end, String text) {}

    /** Ends runs before their limit. */
    static final class Cut {
        private Optional<Process> running = Optional.empty();
        private boolean cut;

        /** Kills what runs, and whatever is begun from now on. Any thread. */
        synchronized void now() {
            cut = true;
            running.ifPresent(Hook::end);
        }

        /** Whether nothing need be begun any more. */
        synchronized boolean isCut() {
            return cut;
        }

        private synchronized void begun(Process process) {
            running = Optional.of(process);
            if (cut) {
                end(process);
            }
        }

        private synchronized boolean ended() {
            running = Optional.empty();
            return cut;
        }
    }

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
     * @param cut may end it earlier
     */
    Result run(
            Verb verb, String domain, String migration, Map<String, String> environment, Cut cut) {
        String missing = missing();
        if (!missing.isEmpty()) {
            return new Result(End.FAILED, missing);
        }
        Process process;
        try {
            ProcessBuilder builder =
                    new ProcessBuilder(executable.toString(), verb.word, domain, migration)
                            .redirectInput(Path.of("/dev/null").toFile())
                            .redirectErrorStream(true);
            builder.environment().putAll(environment);
            process = builder.start();
            cut.begun(process);
        } catch (IOException e) {
            return new Result(End.FAILED, executable + " cannot be run: " + e.getMessage());
        }
        CompletableFuture<String> output =
                CompletableFuture.supplyAsync(
                        () -> read(process.getInputStream()),
                        task -> Thread.ofVirtual().name("hook-" + name).start(task));
        try {
            if (!process.waitFor(limit)) {
                end(process);
                return new Result(
                        End.KILLED,
                        "did not end within "
                                + limit.toMillis()
                                + " ms and was killed; it said: "
                                + said(output));
            }
            String text = said(output);
            if (process.exitValue() == 0) {
                return new Result(End.DONE, text);
            }
            return cut.ended()
                    ? new Result(
                            End.KILLED,
                            "was killed, for the migration was given up; it said: " + text)
                    : new Result(End.FAILED, "exit status " + process.exitValue() + ": " + text);
        } catch (InterruptedException e) {
            end(process);
            Thread.currentThread().interrupt();
            return new Result(End.KILLED, "interrupted");
        } finally {
            cut.ended();
        }
    }

    /**
     * Ends runs of it, and their children, that a daemon which died has left: it would go on beside
     * the one that takes down what it does.
     *
     * @throws HypervisorException if something is left
     */
    void endLeftRuns(String migration) {
        List<String> wanted =
                List.of(MIGRATION_VARIABLE + "=" + migration, NAME_VARIABLE + "=" + name);
        long until = System.nanoTime() + KILL_LIMIT.toNanos();
        List<ProcessIdentity> found = withVariables(wanted);
        // A child may have been born meanwhile.
        while (!found.isEmpty()) {
            if (System.nanoTime() - until > 0) {
                throw new HypervisorException(
                        "end hook", "process " + found.getFirst().pid() + " is still there");
            }
            found.forEach(process -> process.kill(KILL_LIMIT));
            found = withVariables(wanted);
        }
    }

    private static List<ProcessIdentity> withVariables(List<String> wanted) {
        return ProcessHandle.allProcesses()
                .map(ProcessHandle::pid)
                .filter(pid -> hasVariables(pid, wanted))
                .map(ProcessIdentity::of)
                .flatMap(Optional::stream)
                .toList();
    }

    private static boolean hasVariables(long pid, List<String> wanted) {
        try {
            byte[] words = Files.readAllBytes(Path.of("/proc", Long.toString(pid), "environ"));
            return List.of(new String(words, StandardCharsets.UTF_8).split("\0"))
                    .containsAll(wanted);
        } catch (IOException e) {
            // It has just ended, or is another user's.
            return false;
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
