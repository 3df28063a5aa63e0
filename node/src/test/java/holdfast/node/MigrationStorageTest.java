package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.Progress;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Domains that move with their disks, with real QEMU processes and a guest that writes. */
@Tag("qemu")
@Timeout(240)
class MigrationStorageTest {
    private static MigrateRequest copying(int port) {
        return MigrateRequest.of("g", "127.0.0.1:" + port).withStorage(MigrateRequest.Storage.COPY);
    }

    /** Compares both images while the guest stands still; the domain stays if they differ. */
    private static MigrateRequest compared(TestHosts hosts, int port, Path from, Path to)
            throws Exception {
        MigrationTest.hook(
                hosts, "same", "[ $1 = deinit ] || cmp " + from + " " + to + " || exit 1");
        return copying(port).withFeatures(List.of("hook:same"), List.of());
    }

    private static Path imageAt(TestHosts hosts, String node) {
        return hosts.directory.resolve(node + "-replicas/g/disk0.raw");
    }

    @Test
    void a_writing_guest_goes_there_and_back_with_its_disk() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            Node from = a;
            Node to = b;
            Path image = guest.image();
            for (int i = 0; i < 4; i++) {
                Path copy = imageAt(hosts, to == b ? "b" : "a");
                List<Progress> told = new ArrayList<>();
                MigrateResult moved =
                        from.migrate(compared(hosts, to.port(), image, copy), told::add);
                System.out.println("moved " + moved);
                assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
                assertThat(moved.migration().disks()).hasSize(1);
                assertThat(moved.migration().disks().getFirst().path()).isEqualTo(copy.toString());
                assertThat(moved.migration().features())
                        .anySatisfy(
                                feature -> {
                                    assertThat(feature.name()).isEqualTo("disk");
                                    assertThat(feature.detail()).contains("1 copied here");
                                });
                assertThat(to.status("g").state()).isEqualTo(State.RUNNING);
                assertThat(to.status("g").disks().getFirst().path()).isEqualTo(copy.toString());
                assertThat(from.status("g").lastEvent().text())
                        .contains(image.toString())
                        .contains("stay here as they were at the hand-over");
                guest.requirePattern(image);
                var left = Files.getLastModifiedTime(image);
                guest.awaitWrites();
                assertThat(Files.getLastModifiedTime(image)).isEqualTo(left);
                image = copy;
                Node was = from;
                from = to;
                to = was;
            }
            from.destroy("g");
            guest.requirePattern(image);
        }
    }
}
