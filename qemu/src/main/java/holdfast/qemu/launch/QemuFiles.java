package holdfast.qemu.launch;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * Where one QEMU process keeps its files.
 *
 * @param directory absolute and short: sockets in it must stay below 108 bytes
 * @param ram the file that is the guest's main memory, in a memory file system
 */
public record QemuFiles(Path directory, Path ram) {
    private static final int SOCKET_PATH_BYTES_MAX = 107;

    public QemuFiles {
        if (!directory.isAbsolute() || !ram.isAbsolute()) {
            throw new IllegalArgumentException(
                    "found " + directory + " and " + ram + ", expected absolute paths");
        }
        int bytes =
                directory
                        .resolve("qmp-oob.sock")
                        .toString()
                        .getBytes(StandardCharsets.UTF_8)
                        .length;
        if (bytes > SOCKET_PATH_BYTES_MAX) {
            throw new IllegalArgumentException(
                    "directory "
                            + directory
                            + " is too long for sockets: "
                            + bytes
                            + " bytes, at most "
                            + SOCKET_PATH_BYTES_MAX);
        }
    }

    /** The monitor of the session. */
    public Path qmp() {
        return directory.resolve("qmp.sock");
    }

    /** The monitor for out-of-band commands. */
    public Path qmpOutOfBand() {
        return directory.resolve("qmp-oob.sock");
    }

    /** QEMU's process number, written by QEMU. */
    public Path pid() {
        return directory.resolve("qemu.pid");
    }

    /** What QEMU said while starting. */
    public Path errors() {
        return directory.resolve("qemu.err");
    }
}
