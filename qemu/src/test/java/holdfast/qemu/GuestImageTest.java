package holdfast.qemu;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;

@Tag("qemu")
final class GuestImageTest {
    @Test
    void theGuestThatTheScriptBuiltIsFound() throws IOException {
        GuestImage guest = GuestImage.find();

        assertThat(Files.size(guest.kernel())).isGreaterThan(1 << 20);
        try (InputStream initrd = Files.newInputStream(guest.initrd())) {
            assertThat(initrd.readNBytes(2)).as("gzip magic").containsExactly(0x1f, 0x8b);
        }
    }
}
