package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * What one of a moving guest's disks is copied to hangs, with a real QEMU and a guest that writes.
 */
@Tag("qemu")
@Tag(LongRun.TAG)
@Timeout(120)
class MoveHangTest {
    private static final Duration STALL = Duration.ofSeconds(30);
    private static final Duration HANG = Duration.ofSeconds(2);

    @ParameterizedTest
    @ValueSource(strings = {"raw", "qcow2"})
    void the_guest_goes_on_where_it_is(String format) throws Exception {
        try (TestHosts hosts = new TestHosts();
                FaultyMirroring faulty = new FaultyMirroring()) {
            Path other = hosts.directory.resolve("other");
            LoopDevice.run(
                    List.of("qemu-img", "create", "-q", "-f", format, other.toString(), "8M"));
            LoopDevice.run(
                    List.of("qemu-io", "-f", format, "-c", "write -P 90 0 8M", other.toString()));
            String words =
                    "-drive file=IMAGE,format=raw,if=none,id=d -device virtio-blk-pci,drive=d"
                            + " -drive if=none,id=t,format="
                            + format
                            + ",file="
                            + other
                            + " -device virtio-blk-pci,drive=t";
            try (ForeignQemu qemu = ForeignQemu.withDiskGuest(hosts, "raw", words)) {
                Node a = hosts.start("a", Node.Looks.BY_ITSELF, faulty.within(STALL, HANG));
                Node b = hosts.start("b");
                qemu.guest().awaitWrites();
                a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
                faulty.tellNext(_ -> faulty.tellNext(second -> second.hang(4)));
                MigrateResult stayed =
                        CompletableFuture.supplyAsync(() -> move(a, b)).get(60, TimeUnit.SECONDS);
                assertThat(stayed.outcome()).isEqualTo("stayed");
                assertThat(stayed.reason()).contains("QEMU waited 2000 ms");
                assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
                assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
                qemu.guest().awaitWrites();
            }
        }
    }

    private static MigrateResult move(Node from, Node to) {
        return from.migrate(
                MigrateRequest.of("g", "127.0.0.1:" + to.port())
                        .withStorage(MigrateRequest.Storage.COPY),
                ProgressListener.none());
    }
}
