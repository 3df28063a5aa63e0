package holdfast.qemu.linux;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/**
 * Facts about a process from {@code /proc/PID}.
 *
 * @param processId the process that a thread belongs to; a process's own number is its first
 *     thread's
 * @param parentPid who started it, or who adopted it
 * @param tracerTid the thread that traces it, 0 for nobody
 * @param state one letter and a word, such as {@code S (sleeping)}
 */
public record ProcessStatus(long processId, long parentPid, long tracerTid, String state) {
    public static ProcessStatus read(long pid) throws IOException {
        long processId = pid;
        long parentPid = 0;
        long tracerTid = 0;
        String state = "?";
        for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/status"))) {
            if (line.startsWith("Tgid:")) {
                processId = Long.parseLong(line.substring(5).strip());
            } else if (line.startsWith("PPid:")) {
                parentPid = Long.parseLong(line.substring(5).strip());
            } else if (line.startsWith("TracerPid:")) {
                tracerTid = Long.parseLong(line.substring(10).strip());
            } else if (line.startsWith("State:")) {
                state = line.substring(6).strip();
            }
        }
        return new ProcessStatus(processId, parentPid, tracerTid, state);
    }

    /** Whether the process holds a KVM virtual machine. */
    public static boolean usesKvm(long pid) throws IOException {
        try (DirectoryStream<Path> descriptors =
                Files.newDirectoryStream(Path.of("/proc/" + pid + "/fd"))) {
            for (Path descriptor : descriptors) {
                try {
                    if (Files.readSymbolicLink(descriptor).toString().equals("anon_inode:kvm-vm")) {
                        return true;
                    }
                } catch (NoSuchFileException _) {
                    // Closed between the listing and the look: no longer a descriptor of the
                    // process.
                    continue;
                }
            }
        }
        return false;
    }
}
