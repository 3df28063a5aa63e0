package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * Finds out what can execute guests here. That {@code /dev/kvm} is there does not say so: where a
 * software hypervisor serves it, firmware comes up but a kernel takes for ever. So a tiny firmware
 * of our own counts down once under KVM and must be done in a time that any processor keeps by far.
 */
public final class Accelerators {
    /** Steps counted; a processor needs some 50 ms, QEMU's translator about 250 ms. */
    static final int STEPS = 100_000_000;

    private static final Logger LOG = LoggerFactory.getLogger(Accelerators.class);
    private static final Duration RUN_LIMIT = Duration.ofSeconds(3);
    private static final Duration VERSION_LIMIT = Duration.ofSeconds(10);
    private static final Path KVM = Path.of("/dev/kvm");
    private static final int FIRMWARE_BYTES = 64 << 10;
    private static final String KNOWN = "accelerator";
    private static final int CODE_AT = 0xe000;
    private static final int RESET_AT = 0xfff0;

    /** isa-debug-exit makes the exit status of the written value: 2 * 0x10 + 1. */
    private static final int DONE_STATUS = 33;

    private Accelerators() {}

    /**
     * What was found.
     *
     * @param accelerator KVM or TCG
     * @param reason why, for the operator
     */
    public record Finding(Accelerator accelerator, String reason) {}

    /**
     * Tries KVM once per boot of this host and QEMU; at most about 4 s the first time.
     *
     * @param stateDirectory keeps the finding; made if absent
     */
    public static Finding probe(Path stateDirectory) {
        try {
            Files.createDirectories(stateDirectory);
            String key = key(version());
            Optional<Finding> known = known(stateDirectory, key);
            if (known.isPresent()) {
                return known.get();
            }
            Finding finding = tryKvm(stateDirectory);
            Path written = Files.createTempFile(stateDirectory, "accelerator", ".new");
            Files.write(written, List.of(key, finding.accelerator().name(), finding.reason()));
            Files.move(written, stateDirectory.resolve(KNOWN), StandardCopyOption.ATOMIC_MOVE);
            return finding;
        } catch (IOException e) {
            throw new HypervisorException(
                    "probe accelerators", stateDirectory + ": " + e.getMessage(), e);
        }
    }

    /** What {@link #probe} found before and would find again; tries nothing. */
    public static Optional<Finding> known(Path stateDirectory) {
        try {
            return known(stateDirectory, key(version()));
        } catch (IOException e) {
            throw new HypervisorException(
                    "probe accelerators", stateDirectory + ": " + e.getMessage(), e);
        }
    }

    private static Optional<Finding> known(Path stateDirectory, String key) throws IOException {
        Path known = stateDirectory.resolve(KNOWN);
        if (!Files.exists(known)) {
            return Optional.empty();
        }
        List<String> lines = Files.readAllLines(known);
        return lines.size() == 3 && lines.get(0).equals(key)
                ? Optional.of(new Finding(Accelerator.valueOf(lines.get(1)), lines.get(2)))
                : Optional.empty();
    }

    private static String key(String version) throws IOException {
        return Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip()
                + " "
                + version
                + " "
                + binaryMillis()
                + (usable() ? " open" : " closed");
    }

    /** A rebuilt QEMU may have the version of the one before. */
    private static long binaryMillis() throws IOException {
        for (String directory : System.getenv().getOrDefault("PATH", "").split(":")) {
            Path binary = Path.of(directory, QemuProcess.BINARY);
            if (Files.isExecutable(binary)) {
                return Files.getLastModifiedTime(binary).toMillis();
            }
        }
        return 0;
    }

    private static boolean usable() {
        return Files.isReadable(KVM) && Files.isWritable(KVM);
    }

    /**
     * Where a user's findings are kept, whatever node asks: {@code $XDG_CACHE_HOME/holdfast} or
     * {@code ~/.cache/holdfast}; {@code otherwise} where that cannot be written.
     */
    public static Path cacheDirectory(Path otherwise) {
        String set = System.getenv().getOrDefault("XDG_CACHE_HOME", "");
        Path cache =
                set.startsWith("/")
                        ? Path.of(set)
                        : Path.of(System.getProperty("user.home"), ".cache");
        Path directory = cache.resolve("holdfast");
        try {
            Files.createDirectories(directory);
            return Files.isWritable(directory) ? directory : otherwise;
        } catch (IOException e) {
            LOG.debug("event=no-cache directory={} reason=\"{}\"", directory, e.getMessage());
            return otherwise;
        }
    }

    /**
     * The first line of what QEMU says of its version.
     *
     * @throws HypervisorException if it cannot be started
     */
    public static String versionLine() {
        try {
            return version();
        } catch (IOException e) {
            throw new HypervisorException("--version", e.getMessage(), e);
        }
    }

    /** The accelerator to use for a specification's wish. */
    public static Accelerator resolve(Accelerator wish, Path stateDirectory) {
        return wish == Accelerator.AUTO ? probe(stateDirectory).accelerator() : wish;
    }

    private static String version() throws IOException {
        try {
            return ShellCommand.run(List.of(QemuProcess.BINARY, "--version"), VERSION_LIMIT)
                    .text()
                    .lines()
                    .findFirst()
                    .orElse("unknown");
        } catch (ShellCommand.TimedOutException e) {
            throw e;
        } catch (IOException e) {
            throw new HypervisorException(
                    "probe accelerators",
                    "cannot run "
                            + QemuProcess.BINARY
                            + "; on Debian: apt-get install qemu-system-x86",
                    e);
        }
    }

    private static Finding tryKvm(Path directory) throws IOException {
        if (!Files.exists(KVM)) {
            return new Finding(Accelerator.TCG, KVM + " is not there");
        }
        if (!usable()) {
            return new Finding(
                    Accelerator.TCG, KVM + " is closed to this user: add it to the group kvm");
        }
        Path firmware = Files.createTempFile(directory, "probe", ".bin");
        try {
            Files.write(firmware, firmware(STEPS));
            long began = System.nanoTime();
            ShellCommand.Result result = runFirmware(Accelerator.KVM, firmware);
            long millis = (System.nanoTime() - began) / 1_000_000;
            return result.status() == DONE_STATUS
                    ? new Finding(Accelerator.KVM, "a test guest was done in " + millis + " ms")
                    : new Finding(
                            Accelerator.TCG,
                            "KVM failed: "
                                    + result.text()
                                            .lines()
                                            .reduce((a, b) -> b)
                                            .orElse("exit status " + result.status()));
        } catch (ShellCommand.TimedOutException e) {
            return new Finding(
                    Accelerator.TCG,
                    KVM
                            + " is served by a software hypervisor: a test guest was not done"
                            + " within "
                            + RUN_LIMIT.toMillis()
                            + " ms");
        } finally {
            Files.deleteIfExists(firmware);
        }
    }

    static ShellCommand.Result runFirmware(Accelerator accelerator, Path firmware)
            throws IOException {
        return ShellCommand.run(
                List.of(
                        QemuProcess.BINARY,
                        "-nodefaults",
                        "-no-user-config",
                        "-display",
                        "none",
                        "-machine",
                        "q35",
                        "-accel",
                        accelerator.qemuName(),
                        "-m",
                        "16",
                        "-no-reboot",
                        "-bios",
                        firmware.toString(),
                        "-device",
                        "isa-debug-exit,iobase=0xf4,iosize=1"),
                RUN_LIMIT);
    }

    /** A ROM that counts down from {@code steps} in real mode, then writes to the exit port. */
    static byte[] firmware(int steps) {
        byte[] rom = new byte[FIRMWARE_BYTES];
        int[] code = {
            0xfa, // cli
            0x66,
            0xb9,
            steps & 0xff,
            steps >> 8 & 0xff,
            steps >> 16 & 0xff,
            steps >>> 24, // mov ecx
            0x66,
            0x49, // dec ecx
            0x75,
            0xfc, // jnz to the dec
            0xb0,
            0x10, // mov al, 0x10
            0xe6,
            0xf4, // out 0xf4, al
            0xf4,
            0xeb,
            0xfd // hlt, for ever
        };
        int[] reset = {0xea, CODE_AT & 0xff, CODE_AT >> 8, 0x00, 0xf0}; // jmp f000:e000
        for (int i = 0; i < code.length; i++) {
            rom[CODE_AT + i] = (byte) code[i];
        }
        for (int i = 0; i < reset.length; i++) {
            rom[RESET_AT + i] = (byte) reset[i];
        }
        return rom;
    }
}
