package holdfast.qemu.launch;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

class PassedTapsTest {
    @TempDir Path process;

    @Test
    void what_is_no_tap_of_one_queue_is_left_to_be_refused() throws Exception {
        Path descriptors = Files.createDirectory(process.resolve("fdinfo"));
        Files.writeString(descriptors.resolve("7"), "pos:\t0\nflags:\t02\nmnt_id:\t9\n");
        List<String> words =
                List.of(
                        "-netdev",
                        "{\"type\":\"tap\",\"fd\":\"7\",\"id\":\"file\"}",
                        "-netdev",
                        "tap,fd=8,id=closed",
                        "-netdev",
                        "tap,fd=passed,id=named",
                        "-netdev",
                        "tap,fds=7:8,id=queues",
                        "-netdev",
                        "socket,fd=7,id=other",
                        "-device",
                        "tap,fd=7",
                        "-netdev");
        assertThat(PassedTaps.named(process, words)).isEqualTo(words);
    }
}
