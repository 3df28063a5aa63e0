package holdfast.qemu.linux;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The memory mappings of a process.
 *
 * @spec https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html proc_pid_maps(5)
 */
public final class ProcessMaps {
    /** Who sees a write through a mapping. */
    public enum Visibility {
        /** Everybody who maps the file. */
        SHARED,
        /** This process alone: the first write copies the page. */
        PRIVATE
    }

    /**
     * One mapping: addresses {@code [start, end)} of the process show the file from {@code
     * fileOffset} on.
     *
     * @param file the device and inode; inode 0 where no file is behind it
     * @param name a path as the process saw it, a name in brackets such as {@code [vdso]}, or empty
     */
    public record Mapping(
            long start,
            long end,
            Visibility visibility,
            long fileOffset,
            FileIdentity file,
            String name) {
        public Mapping {
            if (Long.compareUnsigned(start, end) >= 0) {
                throw new IllegalArgumentException("mapping " + start + ".." + end + " is empty");
            }
        }

        public long bytes() {
            return end - start;
        }
    }

    private ProcessMaps() {}

    /** All mappings, in the order of their addresses. */
    public static List<Mapping> read(long pid) throws IOException {
        List<Mapping> mappings = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/maps"))) {
            mappings.add(parse(line));
        }
        return mappings;
    }

    /** One line such as {@code 7f00-7f08 rw-s 00001000 00:1a 42 /dev/shm/ram}. */
    static Mapping parse(String line) throws IOException {
        String[] fields = line.split(" +", 6);
        try {
            int dash = fields[0].indexOf('-');
            int colon = fields[3].indexOf(':');
            return new Mapping(
                    Long.parseUnsignedLong(fields[0].substring(0, dash), 16),
                    Long.parseUnsignedLong(fields[0].substring(dash + 1), 16),
                    fields[1].charAt(3) == 's' ? Visibility.SHARED : Visibility.PRIVATE,
                    Long.parseUnsignedLong(fields[2], 16),
                    new FileIdentity(
                            Long.parseLong(fields[3].substring(0, colon), 16),
                            Long.parseLong(fields[3].substring(colon + 1), 16),
                            Long.parseLong(fields[4])),
                    fields.length > 5 ? fields[5] : "");
        } catch (IndexOutOfBoundsException | IllegalArgumentException e) {
            throw new IOException("a line of /proc/PID/maps cannot be read: '" + line + "'", e);
        }
    }
}
