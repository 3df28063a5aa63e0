package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * How somebody else started a QEMU. A copy of it is started from the same words, except for what
 * belongs to a host: see {@link StandbyCommandLine}.
 *
 * @param binary QEMU itself, absolute
 * @param directory that relative paths are relative to
 * @param ramId the id of the memory backend that is main memory
 * @param arguments without the binary
 * @param devices what the machine consisted of when it was last looked at, sorted: what was plugged
 *     after the start is here and not among the arguments
 */
public record ForeignCommandLine(
        Path binary, Path directory, String ramId, List<String> arguments, List<String> devices) {
    private static final String STEP = "attach";
    private static final Path PROC = Path.of("/proc");

    /** What the kernel appends to the name of a program that was replaced on disk. */
    private static final String REPLACED = " (deleted)";

    public ForeignCommandLine {
        if (!binary.isAbsolute() || !directory.isAbsolute()) {
            throw new IllegalArgumentException(
                    "commandLine: found " + binary + " in " + directory + ", expected absolute");
        }
        if (ramId.isEmpty()) {
            throw new IllegalArgumentException("commandLine: no id of the memory backend");
        }
        arguments = List.copyOf(arguments);
        devices = devices.stream().sorted().toList();
    }

    /**
     * Reads the arguments of a process. Taps that were passed to it stand there by their names.
     *
     * @throws HypervisorException if it is gone or may not be looked at, or was passed a tap that a
     *     copy cannot have
     */
    public static ForeignCommandLine of(
            ProcessIdentity process, String ramId, List<String> devices) {
        Path entry = PROC.resolve(Long.toString(process.pid()));
        try {
            String words =
                    new String(
                            Files.readAllBytes(entry.resolve("cmdline")), StandardCharsets.UTF_8);
            String binary = Files.readSymbolicLink(entry.resolve("exe")).toString();
            if (binary.endsWith(REPLACED)) {
                binary = binary.substring(0, binary.length() - REPLACED.length());
            }
            Path directory = Files.readSymbolicLink(entry.resolve("cwd"));
            // Every word ends with a zero, so the last piece is no word; an empty word is one.
            List<String> arguments = new ArrayList<>(List.of(words.split("\0", -1)));
            if (!process.alive() || arguments.size() < 2) {
                throw new HypervisorException(STEP, "process " + process.pid() + " is gone");
            }
            arguments.removeFirst();
            arguments.removeLast();
            return new ForeignCommandLine(
                    Path.of(binary), directory, ramId, PassedTaps.named(entry, arguments), devices);
        } catch (IOException e) {
            throw new HypervisorException(
                    STEP,
                    "cannot see how process "
                            + process.pid()
                            + " was started; run as root or as its owner",
                    e);
        }
    }

    /** The same with the devices that are there now. */
    public ForeignCommandLine withDevices(List<String> now) {
        return new ForeignCommandLine(binary, directory, ramId, arguments, now);
    }

    /**
     * Compares with the devices of a copy.
     *
     * @throws HypervisorException naming the first that one of them lacks
     */
    public void requireEqualDevices(List<String> copy) {
        List<String> missing = new ArrayList<>(devices);
        copy.forEach(missing::remove);
        List<String> additional = new ArrayList<>(copy);
        devices.forEach(additional::remove);
        if (!missing.isEmpty() || !additional.isEmpty()) {
            throw new HypervisorException(
                    "start standby",
                    (missing.isEmpty()
                                    ? "it has a device that the domain has not: "
                                            + telling(additional)
                                    : "it lacks a device of the domain: " + telling(missing))
                            + "; what was plugged or unplugged while the domain ran is not on its"
                            + " command line: start it with the devices it needs");
        }
    }

    /** One that somebody gave an id, if there is one: its inner parts have none. */
    private static String telling(List<String> devices) {
        return devices.stream()
                .filter(device -> !device.endsWith("id \"\""))
                .findFirst()
                .orElse(devices.getFirst());
    }
}
