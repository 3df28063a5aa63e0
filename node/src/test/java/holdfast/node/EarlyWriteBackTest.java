package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

@Timeout(60)
class EarlyWriteBackTest {
    @TempDir private Path directory;

    @Test
    void it_ends_whatever_the_guest_wrote() throws IOException {
        Path image = directory.resolve("vm.img");
        Files.write(image, new byte[4 << 20]);
        EarlyWriteBack writeBack = new EarlyWriteBack(image);
        writeBack.start();
        for (int i = 0; i < 1000; i++) {
            writeBack.wrote(4096);
            writeBack.wrote(1 << 20);
        }
        writeBack.close();
        assertThat(threads()).isZero();
        writeBack.wrote(1 << 20);
    }

    @Test
    void an_image_that_cannot_be_opened_stops_nobody() {
        EarlyWriteBack writeBack = new EarlyWriteBack(directory.resolve("gone.img"));
        writeBack.start();
        long start = System.nanoTime();
        for (int i = 0; i < 1000; i++) {
            writeBack.wrote(1 << 20);
        }
        writeBack.close();
        assertThat(System.nanoTime() - start).isLessThan(TimeUnit.SECONDS.toNanos(5));
        assertThat(threads()).isZero();
    }

    @Test
    void it_need_not_have_been_started() {
        new EarlyWriteBack(directory.resolve("vm.img")).close();
        assertThat(threads()).isZero();
    }

    private static long threads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("write-back-"))
                .count();
    }
}
