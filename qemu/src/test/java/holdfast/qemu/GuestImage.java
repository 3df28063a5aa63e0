package holdfast.qemu;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;

/**
 * The Redis guest that tests with real QEMU boot: a kernel and an initramfs built by {@code
 * scripts/guest.sh}, whose {@code init} documents the kernel command line ({@code hf.ip=}, {@code
 * hf.redis=on}, {@code hf.writer=}, {@code hf.check=on}).
 *
 * @param kernel readable path of {@code vmlinuz}
 * @param initrd readable path of {@code initrd.gz}
 */
public record GuestImage(Path kernel, Path initrd) {
    private static final String DIRECTORY_VARIABLE = "HOLDFAST_GUEST_DIR";

    /**
     * What the guest writes to its serial console when everything its command line asks for is up.
     */
    public static final String READY = "HOLDFAST GUEST READY";

    /**
     * The guest named by {@code HOLDFAST_GUEST_DIR}, or else the newest one in the cache directory.
     *
     * @throws IllegalStateException if there is none: a test that needs the guest fails, it is
     *     never skipped
     */
    public static GuestImage find() {
        String named = System.getenv(DIRECTORY_VARIABLE);
        if (named != null && !named.isEmpty()) {
            return in(Path.of(named));
        }
        String cacheHome = System.getenv("XDG_CACHE_HOME");
        Path cache =
                cacheHome != null && !cacheHome.isEmpty()
                        ? Path.of(cacheHome)
                        : Path.of(
                                System.getenv()
                                        .getOrDefault("HOME", System.getProperty("user.home")),
                                ".cache");
        return in(newestIn(cache.resolve("holdfast")));
    }

    private static GuestImage in(Path directory) {
        Path kernel = directory.resolve("vmlinuz");
        Path initrd = directory.resolve("initrd.gz");
        for (Path file : new Path[] {kernel, initrd}) {
            if (!Files.isReadable(file)) {
                throw missing("no readable " + file);
            }
        }
        return new GuestImage(kernel, initrd);
    }

    private static Path newestIn(Path cache) {
        if (!Files.isDirectory(cache)) {
            throw missing("no directory " + cache);
        }
        Path newest = null;
        FileTime newestTime = null;
        try (DirectoryStream<Path> guests = Files.newDirectoryStream(cache, "guest-*")) {
            for (Path guest : guests) {
                FileTime time = Files.getLastModifiedTime(guest);
                if (newestTime == null || time.compareTo(newestTime) > 0) {
                    newest = guest;
                    newestTime = time;
                }
            }
        } catch (IOException e) {
            throw new IllegalStateException("cannot read the guest cache " + cache, e);
        }
        if (newest == null) {
            throw missing("no guest-* in " + cache);
        }
        return newest;
    }

    private static IllegalStateException missing(String found) {
        return new IllegalStateException(
                "the guest image is missing ("
                        + found
                        + "): run scripts/guest.sh, or name its directory in "
                        + DIRECTORY_VARIABLE);
    }
}
