package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Assumptions;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A file as a block device. Needs the machine's root: no namespace gives the right to. */
record LoopDevice(Path path) implements AutoCloseable {
    static LoopDevice of(Path file, long bytes) throws IOException {
        return of(file, bytes, 512);
    }

    static LoopDevice of(Path file, long bytes, int sectorBytes) throws IOException {
        Assumptions.assumeTrue(
                Files.isWritable(Path.of("/dev/loop-control")) && isRootOfMachine(),
                "loop devices cannot be made here: be root, outside a user namespace");
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(bytes);
        }
        return new LoopDevice(
                Path.of(
                        run(List.of(
                                        "losetup",
                                        "--find",
                                        "--show",
                                        "--sector-size",
                                        Integer.toString(sectorBytes),
                                        file.toString()))
                                .strip()));
    }

    private static boolean isRootOfMachine() throws IOException {
        return Files.readString(Path.of("/proc/self/uid_map"))
                .strip()
                .matches("0\\s+0\\s+4294967295");
    }

    @Override
    public void close() throws IOException {
        run(List.of("losetup", "--detach", path.toString()));
    }

    static String run(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.onExit().join().exitValue()).as(said).isZero();
        return said;
    }
}
