package holdfast.bench;

import holdfast.qemu.launch.DomainSpec;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;

/** The raw image of a guest whose disk is copied. */
final class CopiedImage {
    static final int MEBIBYTES = 512;

    private CopiedImage() {}

    /** Random bytes in its first half, a hole in the other. */
    static void halfFull(Path image) throws IOException {
        byte[] piece = new byte[1 << 20];
        Random random = new Random(1);
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            for (int i = 0; i < MEBIBYTES / 2; i++) {
                random.nextBytes(piece);
                file.write(piece);
            }
            file.setLength((long) MEBIBYTES << 20);
        }
    }

    /** One great hole. */
    static void empty(Path image) throws IOException {
        Files.deleteIfExists(image);
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength((long) MEBIBYTES << 20);
        }
    }

    static DomainSpec.Disk disk(Path image) {
        return new DomainSpec.Disk(
                image,
                DomainSpec.Format.RAW,
                DomainSpec.Access.READ_WRITE,
                OptionalLong.of((long) MEBIBYTES << 20),
                Optional.empty(),
                Optional.empty());
    }
}
