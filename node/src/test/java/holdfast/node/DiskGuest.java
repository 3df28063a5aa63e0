package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * A guest that writes numbered blocks to its disk and checks each against a number that only its
 * memory holds: memory and disk of two moments make it say {@code DISK BAD}.
 *
 * @param image of its disk
 * @param serial what it says; both copies of a domain on one host write it
 */
record DiskGuest(DomainSource source, Path image, Path serial) {
    static final int SLOTS = 2048;
    private static final int IMAGE_BYTES = 32 << 20;
    private static final int PIECE_BYTES = 1 << 20;
    private static final Pattern SEQUENCE = Pattern.compile("DISKWRITER sequence (\\d+)");

    static DiskGuest in(TestHosts hosts, String name) throws IOException {
        return in(hosts, name, "");
    }

    /**
     * @param lines of YAML that are added
     */
    static DiskGuest in(TestHosts hosts, String name, String lines) throws IOException {
        Path boot = bootFiles();
        Path image = hosts.directory.resolve(name + ".img");
        Path serial = hosts.directory.resolve(name + ".serial");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(IMAGE_BYTES);
        }
        String yaml =
                """
                name: %s
                memory: 96MiB
                accelerator: tcg
                boot:
                  kernel: %s
                  initrd: %s
                  commandLine: console=ttyS0 panic=1 hf.diskwriter=vda,%d,3
                disks: [%s]
                serial: %s
                %s
                """
                        .formatted(
                                name,
                                boot.resolve("vmlinuz"),
                                boot.resolve("initrd.gz"),
                                SLOTS,
                                image,
                                serial,
                                lines);
        return new DiskGuest(
                new DomainSource(hosts.directory.resolve(name + ".yaml").toString(), yaml),
                image,
                serial);
    }

    /** Makes the disk larger, by bytes that the guest leaves alone; before it is created. */
    void grow(int mebibytes) throws IOException {
        byte[] piece = new byte[PIECE_BYTES];
        new Random(3).nextBytes(piece);
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.seek(file.length());
            for (int i = 0; i < mebibytes; i++) {
                piece[0] = (byte) i;
                file.write(piece);
            }
        }
    }

    /** Built once by the script, which then only says where they are. */
    static Path bootFiles() throws IOException {
        return bootFiles("HOLDFAST_GUEST_DIR");
    }

    /**
     * @param variable of the environment, that may name the directory
     * @param options of the script
     */
    static Path bootFiles(String variable, String... options) throws IOException {
        String named = System.getenv().getOrDefault(variable, "");
        if (!named.isEmpty()) {
            return Path.of(named);
        }
        List<String> command = new ArrayList<>(List.of("../scripts/guest.sh"));
        command.addAll(List.of(options));
        Process script =
                new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String said = new String(script.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return Path.of(said.lines().reduce((_, last) -> last).orElseThrow());
    }

    /** Waits until it has written and checked more than when it was asked. */
    void awaitWrites() throws Exception {
        long from = newest(said());
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        try (FileWatch console = FileWatch.of(serial)) {
            for (String said = said(); newest(said) <= from + 100; said = said()) {
                assertThat(said).doesNotContain("DISK BAD").doesNotContain("GUEST hf.");
                assertThat(System.nanoTime() - until)
                        .as("the guest does not write: %s", said)
                        .isNegative();
                console.awaitWrite(until);
            }
        }
        assertThat(said()).doesNotContain("DISK BAD").doesNotContain("GUEST hf.");
    }

    /** Copies of a domain write the same file, each from where it is: order says nothing. */
    private static long newest(String said) {
        return SEQUENCE.matcher(said)
                .results()
                .mapToLong(found -> Long.parseLong(found.group(1)))
                .max()
                .orElse(0);
    }

    private String said() throws IOException {
        return Files.exists(serial)
                ? Files.readString(serial, StandardCharsets.ISO_8859_1).replace("\0", "")
                : "";
    }

    /** The image, which nobody writes now, is a prefix of the guest's writes. */
    void requirePattern(Path image) throws Exception {
        requireWritten(image);
    }

    /** As {@link #requirePattern}, of any writer. */
    static void requireWritten(Path image) throws Exception {
        Process check =
                new ProcessBuilder(
                                "../scripts/check-disk.sh",
                                "pattern",
                                image.toString(),
                                Integer.toString(SLOTS))
                        .redirectErrorStream(true)
                        .start();
        String said = new String(check.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(check.waitFor()).as(said).isZero();
        assertThat(said.lines().reduce((_, last) -> last).orElse("")).startsWith("clean: ");
    }
}
