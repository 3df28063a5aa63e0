package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.node.api.DomainStatus;
import holdfast.node.store.DomainRuntime;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.Taps;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.BiConsumer;
import java.util.stream.Stream;

/**
 * What one copy of a domain occupies on this host besides its process: directories, its RAM file,
 * the taps made for it.
 *
 * @param deviceState where its device state is saved, in the memory file system
 */
record DomainPlace(QemuFiles files, Path deviceState) {
    private static final Logger LOG = LoggerFactory.getLogger(DomainPlace.class);
    private static final String TAPS = "taps";
    private static final String HOOKS = "hooks";

    /** Sockets beside the RAM file must keep within a Unix socket's 107 bytes. */
    private static final int NAME_CHARS_SHOWN = 16;

    /** A place nobody used before: a file left by a crash is never taken for a guest's memory. */
    static DomainPlace fresh(Path runDirectory, Path ramDirectory, String name) {
        String unique = UUID.randomUUID().toString().substring(0, 8);
        String shown = name.substring(0, Math.min(name.length(), NAME_CHARS_SHOWN));
        Path ram = ramDirectory.resolve("hf-" + shown + "-" + unique);
        return of(runDirectory.resolve(unique), ram);
    }

    /** The place that was made by {@link #fresh} for an attached domain, by its RAM path alone. */
    static DomainPlace besideAttached(Path runDirectory, Path ram) {
        String name = ram.getFileName().toString();
        return of(runDirectory.resolve(name.substring(name.lastIndexOf('-') + 1)), ram);
    }

    /** The place of a domain that was found again. */
    static DomainPlace of(Path directory, Path ram) {
        return new DomainPlace(
                new QemuFiles(directory, ram), ram.resolveSibling(ram.getFileName() + ".d"));
    }

    /**
     * Makes the taps of {@code spec} that are not there. Which ones is written down, so that a
     * restarted daemon removes them too.
     */
    void makeTaps(DomainSpec spec) {
        makeTaps(spec, NoBridge.FAILS);
    }

    /** What becomes of a tap whose bridge this host has not. */
    enum NoBridge {
        /** It is not made, nor are those after it. */
        FAILS,
        /** It is made, on no bridge. */
        LEFT_OUT
    }

    /** Likewise. */
    void makeTaps(DomainSpec spec, NoBridge missing) {
        List<String> made = new ArrayList<>();
        try {
            Files.createDirectories(files.directory());
            for (DomainSpec.Nic nic : spec.nics()) {
                if (nic instanceof DomainSpec.TapNic(String _, String tap, Optional<String> bridge)
                        && !Taps.exists(tap)) {
                    made.add(tap);
                    Files.write(files.directory().resolve(TAPS), made);
                    Taps.create(
                            tap,
                            switch (missing) {
                                case FAILS -> bridge;
                                case LEFT_OUT -> bridge.filter(Taps::exists);
                            });
                }
            }
        } catch (IOException e) {
            throw new HypervisorException(
                    "make taps", "cannot write " + files.directory() + ": " + e.getMessage(), e);
        }
    }

    /**
     * What a restarted daemon must know to find all of it, or to remove it.
     *
     * @param process its QEMU, once there is one
     */
    DomainRuntime runtime(
            DomainStatus.Role role, long generation, Optional<ProcessIdentity> process) {
        return new DomainRuntime(
                role,
                generation,
                process.map(ProcessIdentity::pid).orElse(0L),
                process.map(ProcessIdentity::startTicks).orElse(0L),
                files.ram().toString(),
                files.qmp().toString(),
                "",
                "",
                DomainRuntime.Origin.STARTED);
    }

    /** Of hooks that its arrival brings up; for this daemon, and for the one after it. */
    HookLog hookLog() {
        return new HookLog(files.directory().resolve(HOOKS));
    }

    /** What a part of a place is for. */
    enum Part {
        TAPS,
        MEMORY,
        /** Directories of sockets and device state. */
        PROCESS
    }

    /** Removes everything. The process must be gone. Each step is tried; what fails is logged. */
    void remove() {
        remove((_, _) -> {});
    }

    /** As {@link #remove()}; {@code left} hears what is still there, and why. */
    void remove(BiConsumer<Part, String> left) {
        attempt(Part.TAPS, "taps", this::removeTaps, left);
        attempt(Part.MEMORY, files.ram().toString(), () -> Files.deleteIfExists(files.ram()), left);
        attempt(Part.PROCESS, deviceState.toString(), () -> deleteTree(deviceState), left);
        attempt(
                Part.PROCESS,
                files.directory().toString(),
                () -> deleteTree(files.directory()),
                left);
    }

    private void removeTaps() throws IOException {
        Path list = files.directory().resolve(TAPS);
        if (Files.exists(list)) {
            Files.readAllLines(list).forEach(Taps::remove);
        }
    }

    private interface Step {
        void run() throws IOException;
    }

    private static void attempt(Part part, String what, Step step, BiConsumer<Part, String> left) {
        try {
            step.run();
        } catch (IOException | HypervisorException e) {
            LOG.warn("event=left-behind what={} reason=\"{}\"", what, e.getMessage());
            left.accept(part, what + " is left: " + e.getMessage());
        }
    }

    private static void deleteTree(Path directory) throws IOException {
        if (!Files.isDirectory(directory)) {
            return;
        }
        try (Stream<Path> entries = Files.list(directory)) {
            for (Path entry : entries.toList()) {
                Files.deleteIfExists(entry);
            }
        }
        Files.deleteIfExists(directory);
    }
}
