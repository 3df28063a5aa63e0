package holdfast.qemu.domain;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.ProcessIdentity;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** What processes have open, as {@code /proc} tells. */
final class OpenFiles {
    private static final Path PROC = Path.of("/proc");
    private static final Path UNIX_SOCKETS = Path.of("/proc/thread-self/net/unix");
    private static final int LISTENING_FLAG = 0x10000;

    private OpenFiles() {}

    /** The targets of a process's descriptors: paths, and names such as {@code socket:[17]}. */
    static Set<String> of(long pid) {
        try {
            return descriptors(PROC.resolve(Long.toString(pid)));
        } catch (IOException e) {
            throw new HypervisorException(
                    "attach",
                    "cannot see what process " + pid + " has open; run as root or as its owner",
                    e);
        }
    }

    /** The process that listens on a Unix socket of this network namespace. */
    static ProcessIdentity listenerOf(Path socket) {
        try {
            Set<String> names = listening(socket);
            List<ProcessIdentity> found = new ArrayList<>();
            try (DirectoryStream<Path> processes = Files.newDirectoryStream(PROC, "[0-9]*")) {
                for (Path process : processes) {
                    if (holdsOneOf(process, names)) {
                        ProcessIdentity.of(Long.parseLong(process.getFileName().toString()))
                                .ifPresent(found::add);
                    }
                }
            }
            // A helper that inherited the descriptor started later than its QEMU.
            return found.stream()
                    .min(Comparator.comparingLong(ProcessIdentity::startTicks))
                    .orElseThrow(
                            () ->
                                    new HypervisorException(
                                            "attach",
                                            "found no process that listens on "
                                                    + socket
                                                    + "; run in QEMU's network namespace, as root"
                                                    + " or as its owner"));
        } catch (IOException e) {
            throw new HypervisorException("attach", "cannot look for the owner of " + socket, e);
        }
    }

    private static Set<String> listening(Path socket) throws IOException {
        Set<String> names = new HashSet<>();
        for (String line : Files.readAllLines(UNIX_SOCKETS)) {
            // Num RefCount Protocol Flags Type St Inode Path
            String[] fields = line.strip().split("\\s+", 8);
            if (fields.length == 8
                    && !fields[0].equals("Num")
                    && (Integer.parseUnsignedInt(fields[3], 16) & LISTENING_FLAG) != 0
                    && isSame(socket, Path.of(fields[7]))) {
                names.add("socket:[" + fields[6] + "]");
            }
        }
        return names;
    }

    private static boolean isSame(Path socket, Path bound) throws IOException {
        return bound.equals(socket.toAbsolutePath())
                || bound.isAbsolute() && Files.exists(bound) && Files.isSameFile(bound, socket);
    }

    private static boolean holdsOneOf(Path process, Set<String> names) {
        try {
            return descriptors(process).stream().anyMatch(names::contains);
        } catch (IOException e) {
            // Another user's, or gone meanwhile: not ours to attach to.
            return false;
        }
    }

    /**
     * Those of a process's descriptors that have one target; each is a path, good while the process
     * has it open.
     */
    static List<Path> descriptors(long pid, String target) throws IOException {
        return targets(PROC.resolve(Long.toString(pid))).entrySet().stream()
                .filter(descriptor -> descriptor.getValue().equals(target))
                .map(Map.Entry::getKey)
                .toList();
    }

    private static Set<String> descriptors(Path process) throws IOException {
        return Set.copyOf(targets(process).values());
    }

    private static Map<Path, String> targets(Path process) throws IOException {
        Map<Path, String> targets = new TreeMap<>();
        try (DirectoryStream<Path> all = Files.newDirectoryStream(process.resolve("fd"))) {
            for (Path descriptor : all) {
                try {
                    targets.put(descriptor, Files.readSymbolicLink(descriptor).toString());
                } catch (NoSuchFileException closedMeanwhile) {
                    continue;
                }
            }
        } catch (DirectoryIteratorException e) {
            throw e.getCause();
        }
        return targets;
    }
}
