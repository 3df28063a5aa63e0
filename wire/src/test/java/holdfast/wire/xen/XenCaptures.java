package holdfast.wire.xen;

import com.github.luben.zstd.ZstdInputStream;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Streams recorded from Xen 4.17.5, unpacked. */
final class XenCaptures {
    /** Names the directory of captures that may not be copied into this project. */
    static final String DIRECTORY_VARIABLE = "HOLDFAST_XEN_CAPTURES";

    private XenCaptures() {}

    /** A capture that is a resource of these tests. */
    static byte[] tiny(String name) {
        try (InputStream packed = XenCaptures.class.getResourceAsStream(name + ".zst")) {
            return unpack(packed);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Optional<Path> directory() {
        return Optional.ofNullable(System.getenv(DIRECTORY_VARIABLE)).map(Path::of);
    }

    static byte[] external(Path directory, String name) throws IOException {
        try (InputStream packed = Files.newInputStream(directory.resolve(name + ".zst"))) {
            return unpack(packed);
        }
    }

    private static byte[] unpack(InputStream packed) throws IOException {
        try (ZstdInputStream unpacked = new ZstdInputStream(packed)) {
            return unpacked.setLongMax(27).readAllBytes();
        }
    }
}
