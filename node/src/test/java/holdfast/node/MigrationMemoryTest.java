package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * A guest that knows every word of a part of its memory, and compares and rewrites it without an
 * end, is moved there and back. {@code -Dholdfast.migrations=100} for the long run; {@code ./demo
 * migrate} does the same with a client.
 */
@Tag("qemu")
@Timeout(600)
class MigrationMemoryTest {
    private static final int MIGRATIONS = Integer.getInteger("holdfast.migrations", 6);

    @Test
    void the_guest_finds_its_memory_whole_after_each_migration() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node from = hosts.start("a");
            Node to = hosts.start("b");
            Path console = hosts.directory.resolve("console.log");
            from.create(guest(hosts, console, 1024));
            awaitVerdicts(console, 0);
            for (int i = 0; i < MIGRATIONS; i++) {
                MigrateResult moved =
                        from.migrate(
                                MigrateRequest.of("g", "127.0.0.1:" + to.port()),
                                ProgressListener.none());
                assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
                // The first verdict may be of a pass that began before.
                awaitVerdicts(console, verdicts(console).size());
                Node was = from;
                from = to;
                to = was;
            }
            System.out.println(
                    MIGRATIONS + " migrations, " + verdicts(console).size() + " verdicts");
        }
    }

    static void awaitVerdicts(Path console, int before) throws InterruptedException {
        MigratingPair.await(
                "two verdicts of the guest about its memory",
                () -> verdicts(console).size() >= before + 2);
    }

    static List<String> verdicts(Path console) {
        try {
            List<String> lines =
                    Files.exists(console)
                            ? Files.readAllLines(
                                    console, java.nio.charset.StandardCharsets.ISO_8859_1)
                            : List.of();
            assertThat(lines)
                    .noneMatch(line -> line.contains("MEMORY BAD"))
                    .noneMatch(line -> line.contains("memory-checker ended"));
            return lines.stream().filter(line -> line.contains("MEMORY  OK")).toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * @param pages that the guest knows; what it writes there does not shrink
     */
    static DomainSource guest(TestHosts hosts, Path console, int pages) throws Exception {
        Path image = MigrationKillTest.image();
        return new DomainSource(
                hosts.directory.resolve("g.yaml").toString(),
                """
                name: g
                memory: 128MiB
                accelerator: tcg
                boot:
                  kernel: %s
                  initrd: %s
                  commandLine: console=ttyS0 quiet panic=1 hf.memory=%d,10
                extra: [-chardev, "file,id=verdicts,append=on,path=%s", -serial, "chardev:verdicts"]
                """
                        .formatted(
                                image.resolve("vmlinuz"),
                                image.resolve("initrd.gz"),
                                pages,
                                console));
    }
}
