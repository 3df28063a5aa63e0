package holdfast.qemu.linux;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Which file it is, whatever its path: the device, as major and minor number, and the inode. */
public record FileIdentity(long major, long minor, long inode) {
    public static FileIdentity of(Path path) throws IOException {
        Map<String, Object> attributes = Files.readAttributes(path, "unix:dev,ino");
        long device = (long) attributes.get("dev");
        // The C library's packing of a device number, gnu_dev_major and gnu_dev_minor.
        return new FileIdentity(
                (device >>> 8 & 0xfff) | (device >>> 32 & ~0xfffL),
                (device & 0xff) | (device >>> 12 & ~0xffL),
                (long) attributes.get("ino"));
    }
}
