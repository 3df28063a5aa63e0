package holdfast.qemu.net;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

@Timeout(20)
class DecoysTest {
    private static final long SELF = ProcessHandle.current().pid();

    @Test
    void what_is_no_tap_gets_no_decoy() {
        assertThat(Decoys.obstacle(SELF, "lo")).get().asString().contains("no tap of that name");
        assertThat(Decoys.obstacle(SELF, "hf-none")).isPresent();
        try (Decoys decoys = Decoys.prepare(SELF, List.of("lo"))) {
            decoys.send();
        }
    }

    @Test
    void a_process_that_is_gone_gets_none() throws Exception {
        Process gone = new ProcessBuilder("true").start();
        gone.waitFor();
        assertThat(Decoys.obstacle(gone.pid(), "lo")).get().asString().contains("cannot be read");
    }

    @Test
    void a_process_of_another_network_namespace_gets_none_for_a_name_that_is_here_too()
            throws Exception {
        Process apart =
                new ProcessBuilder("unshare", "--map-root-user", "--net", "sh", "-c", "echo; cat")
                        .start();
        try {
            // It is there when it speaks.
            assertThat(apart.getInputStream().read()).isEqualTo('\n');
            assertThat(Path.of("/sys/class/net/lo")).matches(Files::exists);
            assertThat(Decoys.obstacle(apart.pid(), "lo"))
                    .get()
                    .asString()
                    .contains("another network namespace");
        } finally {
            apart.destroyForcibly().waitFor();
        }
    }
}
