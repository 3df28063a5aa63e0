package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;
import holdfast.qemu.linux.ReservedStorage;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A QEMU that runs on its own: it is no child of this process and outlives it.
 *
 * @param identity the process
 * @param files where it keeps its files
 */
public record QemuProcess(ProcessIdentity identity, QemuFiles files) {
    /** The binary, looked up on the PATH. */
    public static final String BINARY = "qemu-system-x86_64";

    private static final String TUNABLES = "GLIBC_TUNABLES";

    /**
     * The mirror of a disk allocates a buffer as long as each write of the guest, and frees it. If
     * that memory goes back to the kernel each time, every page of it faults again for the next
     * write. What the caller's environment says comes later and wins.
     *
     * @spec https://sourceware.org/glibc/manual/2.36/html_node/Memory-Allocation-Tunables.html
     */
    private static final String KEEP_MEMORY =
            "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864";

    private static final String START = "start QEMU";

    /**
     * Starts a domain and returns when its monitors listen. After a failure no process is left.
     *
     * @param accelerator KVM or TCG
     * @throws HypervisorException with QEMU's own words if it does not start, or before the start
     *     if the binary or the room for the RAM file is missing
     */
    public static QemuProcess start(
            DomainSpec spec,
            QemuFiles files,
            Accelerator accelerator,
            QemuCommandLine.Start start,
            Duration limit) {
        List<String> command = new ArrayList<>();
        command.add(spec.foreign().map(line -> line.binary().toString()).orElse(BINARY));
        command.addAll(QemuCommandLine.of(spec, files, accelerator, start));
        try {
            Files.createDirectories(files.directory());
            Files.deleteIfExists(files.pid());
            if (Files.exists(files.ram())) {
                return launched(command, spec, files, limit);
            }
            // A guest that touches memory which is not there dies of it, much later: not one page
            // is
            // left to chance.
            ReservedStorage.create(START, files.ram(), spec.memoryBytes());
            try {
                return launched(command, spec, files, limit);
            } catch (IOException | RuntimeException e) {
                Files.deleteIfExists(files.ram());
                throw e;
            }
        } catch (IOException e) {
            throw new HypervisorException(START, spec.name() + ": " + e.getMessage(), e);
        }
    }

    private static QemuProcess launched(
            List<String> command, DomainSpec spec, QemuFiles files, Duration limit)
            throws IOException {
        run(command, directory(spec), files, limit);
        return find(files)
                .orElseThrow(
                        () ->
                                new HypervisorException(
                                        START, "it ended right after its start: " + said(files)));
    }

    /** The process that was started with these files, if it still runs. */
    public static Optional<QemuProcess> find(QemuFiles files) {
        if (!Files.exists(files.pid())) {
            return Optional.empty();
        }
        try {
            long pid = Long.parseLong(Files.readString(files.pid()).strip());
            return ProcessIdentity.of(pid)
                    .filter(identity -> wasStartedWith(identity.pid(), files))
                    .map(identity -> new QemuProcess(identity, files));
        } catch (IOException | NumberFormatException e) {
            throw new HypervisorException("find QEMU", "cannot read " + files.pid(), e);
        }
    }

    /**
     * Ends whatever was started with these files, and what is still being started: that has no pid
     * file yet. For a successor of the process that started it.
     *
     * @throws HypervisorException if something is left of it
     */
    public static void endAll(QemuFiles files, Duration limit) {
        long until = System.nanoTime() + limit.toNanos();
        List<ProcessIdentity> found = startedWith(files);
        // One that is becoming a daemon goes on as another process.
        while (!found.isEmpty()) {
            if (System.nanoTime() - until > 0) {
                throw new HypervisorException(
                        "end QEMU",
                        "still there after %d ms: process %s; end it, and start the daemon again"
                                .formatted(limit.toMillis(), found.getFirst().pid()));
            }
            found.forEach(process -> process.kill(limit));
            found = startedWith(files);
        }
    }

    private static List<ProcessIdentity> startedWith(QemuFiles files) {
        return ProcessHandle.allProcesses()
                .map(ProcessHandle::pid)
                .filter(pid -> wasStartedWith(pid, files))
                .map(ProcessIdentity::of)
                .flatMap(Optional::stream)
                .toList();
    }

    /** A pid file may outlive its process and the number may be another's by now. */
    private static boolean wasStartedWith(long pid, QemuFiles files) {
        try {
            byte[] words = Files.readAllBytes(Path.of("/proc", Long.toString(pid), "cmdline"));
            return List.of(new String(words, StandardCharsets.UTF_8).split("\0"))
                    .contains(files.pid().toString());
        } catch (IOException e) {
            return false;
        }
    }

    /**
     * Relative paths of a foreign command line mean the same here where there is the same place.
     */
    private static Optional<Path> directory(DomainSpec spec) {
        return spec.foreign()
                .map(ForeignCommandLine::directory)
                .filter(path -> Files.isDirectory(path));
    }

    private static void run(
            List<String> command, Optional<Path> directory, QemuFiles files, Duration limit)
            throws IOException {
        ProcessBuilder builder =
                new ProcessBuilder(command)
                        .directory(directory.map(Path::toFile).orElse(null))
                        .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .redirectError(files.errors().toFile());
        builder.environment().merge(TUNABLES, KEEP_MEMORY, (before, ours) -> ours + ":" + before);
        Process launcher;
        try {
            launcher = builder.start();
        } catch (IOException e) {
            throw new HypervisorException(
                    START,
                    "cannot run "
                            + command.getFirst()
                            + " ("
                            + e.getMessage()
                            + "); on Debian: apt-get install qemu-system-x86",
                    e);
        }
        try {
            if (!launcher.waitFor(limit)) {
                launcher.destroyForcibly();
                find(files).ifPresent(process -> process.kill(limit));
                throw new HypervisorException(
                        START, "not up after " + limit.toMillis() + " ms: " + said(files));
            }
        } catch (InterruptedException e) {
            launcher.destroyForcibly();
            Thread.currentThread().interrupt();
            throw new HypervisorException(START, "interrupted", e);
        }
        if (launcher.exitValue() != 0) {
            throw new HypervisorException(
                    START, "exit status " + launcher.exitValue() + ": " + said(files));
        }
    }

    private static String said(QemuFiles files) {
        try {
            String text = Files.readString(files.errors()).strip();
            return text.isEmpty() ? "(it said nothing)" : text + Taps.adviceOnQemus(text);
        } catch (IOException e) {
            return "(no " + files.errors() + ": " + e.getMessage() + ")";
        }
    }

    public long pid() {
        return identity.pid();
    }

    public boolean alive() {
        return identity.alive();
    }

    /** Ends this QEMU at once, see {@link ProcessIdentity#kill}. */
    public void kill(Duration limit) {
        identity.kill(limit);
    }
}
