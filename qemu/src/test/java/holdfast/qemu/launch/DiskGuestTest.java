package holdfast.qemu.launch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import static java.nio.charset.StandardCharsets.US_ASCII;

import holdfast.engine.HypervisorException;
import holdfast.qemu.GuestImage;
import holdfast.qemu.ScratchFiles;
import holdfast.qemu.launch.DomainSpec.Access;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Format;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/** What a guest wrote to its disks is there, whole, after its QEMU died. */
@Tag("qemu")
@Timeout(180)
class DiskGuestTest {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Pattern SEQUENCE = Pattern.compile("DISKWRITER sequence (\\d+)");
    private static final int SLOTS = 256;
    private static final int WRITES = 300;

    private static Disk blank(Path image, long bytes) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(bytes);
        }
        return new Disk(image, Format.RAW, Access.READ_WRITE);
    }

    private static DomainSpec guest(Path console, List<Disk> disks, int port) {
        GuestImage image = GuestImage.find();
        return DomainSpec.of("disks", UUID.randomUUID(), 96)
                .withAccelerator(Accelerator.TCG)
                .withBoot(
                        new DomainSpec.Kernel(
                                image.kernel(),
                                Optional.of(image.initrd()),
                                "console=ttyS0 quiet panic=1 hf.ip=10.0.2.15/24 hf.data=vda"
                                        + " hf.redis=disk hf.diskwriter=vdb,"
                                        + SLOTS
                                        + ",1"))
                .withDisks(disks)
                .withNics(
                        List.of(
                                new DomainSpec.UserNic(
                                        "52:54:00:12:34:56",
                                        List.of(new DomainSpec.Forward(port, 6379)))))
                .withSerial(console);
    }

    private static int freePort() throws IOException {
        try (ServerSocket reserved = new ServerSocket(0)) {
            return reserved.getLocalPort();
        }
    }

    private static QemuProcess start(ScratchFiles scratch, DomainSpec spec, String name) {
        return scratch.owns(
                QemuProcess.start(
                        spec,
                        scratch.files(name),
                        Accelerator.TCG,
                        QemuCommandLine.Start.RUNNING,
                        LIMIT));
    }

    private static void awaitConsole(Path console, Pattern wanted)
            throws IOException, InterruptedException {
        long until = System.nanoTime() + LIMIT.toNanos();
        while (!wanted.matcher(Files.readString(console)).find()) {
            if (System.nanoTime() > until) {
                throw new AssertionError(
                        "no \"" + wanted + "\" on the console:\n" + Files.readString(console));
            }
            Thread.sleep(50);
        }
    }

    /** Sets n and w:1, w:2, ... to 1, 2, ...; each is acknowledged. */
    private static void write(int port) throws IOException {
        try (Socket redis = new Socket(InetAddress.getLoopbackAddress(), port)) {
            redis.setSoTimeout((int) LIMIT.toMillis());
            OutputStream out = redis.getOutputStream();
            BufferedReader in =
                    new BufferedReader(new InputStreamReader(redis.getInputStream(), US_ASCII));
            for (int i = 1; i <= WRITES; i++) {
                out.write(("SET n " + i + "\r\n").getBytes(US_ASCII));
                assertThat(in.readLine()).isEqualTo("+OK");
                out.write(("SET w:" + i + " " + i + "\r\n").getBytes(US_ASCII));
                assertThat(in.readLine()).isEqualTo("+OK");
            }
        }
    }

    private static String read(int port) throws IOException {
        try (Socket redis = new Socket(InetAddress.getLoopbackAddress(), port)) {
            redis.setSoTimeout((int) LIMIT.toMillis());
            redis.getOutputStream().write("GET n\r\n".getBytes(US_ASCII));
            BufferedReader in =
                    new BufferedReader(new InputStreamReader(redis.getInputStream(), US_ASCII));
            in.readLine();
            return in.readLine();
        }
    }

    private static String checked(String... arguments) throws Exception {
        ShellCommand.Result result = check(arguments);
        assertThat(result.status()).as(result.text()).isZero();
        return result.text();
    }

    private static ShellCommand.Result check(String... arguments) throws Exception {
        Path script = Path.of("../scripts/check-disk.sh").toAbsolutePath().normalize();
        List<String> command = new ArrayList<>(List.of(script.toString()));
        command.addAll(List.of(arguments));
        return ShellCommand.run(command, LIMIT);
    }

    private static long lastSequence(String text) {
        return SEQUENCE.matcher(text)
                .results()
                .map(MatchResult::group)
                .map(line -> line.substring(line.lastIndexOf(' ') + 1))
                .mapToLong(Long::parseLong)
                .max()
                .orElseThrow();
    }

    @Test
    void what_was_acknowledged_survives_the_death_of_qemu_and_the_images_are_clean()
            throws Exception {
        try (ScratchFiles scratch = ScratchFiles.create()) {
            int port = freePort();
            Path data = scratch.directory().resolve("data.img");
            Path pattern = scratch.directory().resolve("pattern.img");
            List<Disk> disks = List.of(blank(data, 64 << 20), blank(pattern, SLOTS * 4096));
            Path console = scratch.directory().resolve("console");
            DomainSpec spec = guest(console, disks, port);
            QemuProcess first = start(scratch, spec, "a");
            awaitConsole(console, Pattern.compile(GuestImage.READY));
            write(port);
            // More than a lap: slots were met twice.
            awaitConsole(console, Pattern.compile("DISKWRITER sequence ([3-9]\\d\\d|\\d{4})"));
            DomainSpec rival =
                    spec.withNics(List.of()).withSerial(scratch.directory().resolve("rival"));
            assertThatThrownBy(() -> start(scratch, rival, "b"))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("Failed to get \"write\" lock");
            first.kill(LIMIT);

            checked("file-system", data.toString());
            checked("redis", data.toString());
            checked("redis", data.toString(), Integer.toString(WRITES));
            ShellCommand.Result more =
                    check("redis", data.toString(), Integer.toString(WRITES + 2));
            assertThat(more.status()).isEqualTo(1);
            assertThat(more.text()).contains("not clean: 2 of " + (WRITES + 2) + " writes");
            String verdict = checked("pattern", pattern.toString(), Integer.toString(SLOTS));
            long onDisk =
                    Long.parseLong(verdict.replaceAll("(?s).*clean: sequence (\\d+),.*", "$1"));
            assertThat(onDisk).isGreaterThanOrEqualTo(lastSequence(Files.readString(console)));

            // The next one finds all of it, and goes on where the first ended.
            Files.delete(console);
            start(scratch, spec, "c");
            awaitConsole(console, Pattern.compile(GuestImage.READY));
            assertThat(read(port)).isEqualTo(Integer.toString(WRITES));
            awaitConsole(console, SEQUENCE);
            assertThat(lastSequence(Files.readString(console))).isGreaterThan(onDisk);
            assertThat(Files.readString(console)).doesNotContain("DISK BAD", "NOT READY");
        }
    }
}
