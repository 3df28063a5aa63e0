package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * What an attached QEMU mirrors its disk to hangs. It has one monitor for us, which is not the one
 * that Holdfast gives its own for such a case.
 */
@Tag("qemu")
@Timeout(180)
class AttachedHangTest {
    private static final Duration STALL = Duration.ofSeconds(30);
    private static final Duration HANG = Duration.ofSeconds(2);
    private static final Duration RESERVE = Duration.ofSeconds(10);

    @Test
    void an_export_that_hangs_ends_protection_and_the_guest_goes_on() throws Exception {
        try (TestHosts hosts = new TestHosts();
                FaultyMirroring faulty = new FaultyMirroring();
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts, "raw", "-drive file=IMAGE,format=raw,if=virtio")) {
            Node a = hosts.start("a", Node.Looks.BY_ITSELF, faulty.within(STALL, HANG));
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            a.remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);

            faulty.newest().hang(1);
            assertThat(faulty.newest().hung.await(30, TimeUnit.SECONDS)).isTrue();
            long hung = System.nanoTime();
            qemu.guest().awaitWrites();
            Duration stood = Duration.ofNanos(System.nanoTime() - hung);
            System.out.println("the guest writes again after " + stood);
            assertThat(stood).isLessThan(HANG.plus(HangWatch.GRACE).plus(RESERVE));
            // QEMU goes on without it; the end of the session would wait for its thread.
            faulty.newest().release();
            DomainStatus alone = await(a, "g", s -> s.role() == Role.UNPROTECTED);
            assertThat(alone.state()).isEqualTo(State.RUNNING);
            assertThat(alone.lastEvent().text())
                    .contains("QEMU waited 2000 ms for its mirrored disk writes to be taken");

            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            qemu.process().kill(RESERVE);
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            Path replica = Path.of(survivor.disks().getFirst().path());
            ForeignQemu.awaitWritten(b, replica);
            b.destroy("g");
            qemu.guest().requirePattern(replica);
            qemu.guest().requirePattern(qemu.image());
        }
    }
}
