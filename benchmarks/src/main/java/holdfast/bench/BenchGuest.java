package holdfast.bench;

import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuFiles;
import holdfast.qemu.launch.QemuProcess;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** A running guest of {@value #MEMORY_MIB} MiB under TCG, as the primary has it. */
final class BenchGuest implements AutoCloseable {
    static final int MEMORY_MIB = 256;
    static final Duration START_LIMIT = Duration.ofSeconds(60);

    private static final Duration BOOT_LIMIT = Duration.ofSeconds(120);
    private static final String READY = "HOLDFAST GUEST READY";
    private static final long LOOK_MILLIS = 50;

    private final DomainSpec spec;
    private final Scratch scratch;
    private final QemuProcess process;
    private final QemuDomain domain;

    private BenchGuest(DomainSpec spec, Scratch scratch, QemuProcess process, QemuDomain domain) {
        this.spec = spec;
        this.scratch = scratch;
        this.process = process;
        this.domain = domain;
    }

    /**
     * Boots the guest and waits until it says that it is ready.
     *
     * @param name unique in {@code scratch}
     * @param options what the guest's first process does
     */
    static BenchGuest boot(String name, Scratch scratch, String options, List<DomainSpec.Nic> nics)
            throws IOException, InterruptedException {
        Path image = imageDirectory();
        Path serial = scratch.files().resolve(name + ".log");
        DomainSpec spec =
                DomainSpec.of(name, MEMORY_MIB)
                        .withBoot(
                                new DomainSpec.Kernel(
                                        image.resolve("vmlinuz"),
                                        Optional.of(image.resolve("initrd.gz")),
                                        "console=ttyS0 quiet panic=1 " + options))
                        .withNics(nics)
                        .withSerial(serial);
        QemuFiles files = files(scratch, name);
        QemuProcess process =
                QemuProcess.start(
                        spec, files, Accelerator.TCG, QemuCommandLine.Start.RUNNING, START_LIMIT);
        try {
            awaitReady(serial, process);
            return new BenchGuest(
                    spec,
                    scratch,
                    process,
                    QemuDomain.attach(process, scratch.memory().resolve(name + "-state")));
        } catch (IOException | InterruptedException | RuntimeException e) {
            process.kill(START_LIMIT);
            throw e;
        }
    }

    static QemuFiles files(Scratch scratch, String name) {
        return new QemuFiles(
                scratch.files().resolve(name), scratch.memory().resolve(name + "-ram"));
    }

    static Path imageDirectory() {
        String directory = System.getenv("HOLDFAST_GUEST_DIR");
        if (directory == null || !Files.isReadable(Path.of(directory, "vmlinuz"))) {
            throw new BenchException(
                    "no guest image; start the bench by ./bench, which builds one, or run"
                            + " scripts/guest.sh");
        }
        return Path.of(directory);
    }

    /** A guest's console is a file: there is no event to wait for. */
    private static void awaitReady(Path serial, QemuProcess process)
            throws IOException, InterruptedException {
        long deadline = System.nanoTime() + BOOT_LIMIT.toNanos();
        while (true) {
            String said =
                    Files.exists(serial)
                            ? Files.readString(serial, StandardCharsets.ISO_8859_1)
                            : "";
            if (said.contains(READY)) {
                return;
            }
            if (!process.alive() || System.nanoTime() > deadline) {
                throw new BenchException(
                        "the guest did not say \"%s\" within %d s; its last words: %s"
                                .formatted(
                                        READY,
                                        BOOT_LIMIT.toSeconds(),
                                        said.substring(Math.max(0, said.length() - 400))));
            }
            Thread.sleep(LOOK_MILLIS);
        }
    }

    DomainSpec spec() {
        return spec;
    }

    Scratch scratch() {
        return scratch;
    }

    QemuProcess process() {
        return process;
    }

    QemuDomain domain() {
        return domain;
    }

    @Override
    public void close() {
        process.kill(START_LIMIT);
        domain.close();
    }
}
