package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveRequest.After;
import holdfast.node.api.SaveResult;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** QEMU processes that nobody of Holdfast started, saved with a disk that the guest writes. */
@Tag("qemu")
@Timeout(180)
class AttachedSaveTest {
    @Test
    void what_is_saved_goes_on_elsewhere_with_memory_and_disk_of_one_moment() throws Exception {
        saveAndRestore(
                "chain",
                "-blockdev driver=file,node-name=f,filename=IMAGE"
                        + " -blockdev driver=qcow2,node-name=d,file=f"
                        + " -device virtio-blk-pci,drive=d");
    }

    @Tag(LongRun.TAG)
    @Test
    void so_does_one_with_a_raw_disk() throws Exception {
        saveAndRestore("raw", "-drive file=IMAGE,format=raw,if=virtio");
    }

    private static void saveAndRestore(String kind, String words) throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu = ForeignQemu.withDiskGuest(hosts, kind, words)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            Path file = hosts.directory.resolve("g.save");
            SaveResult running =
                    a.save(
                            new SaveRequest("g", file.toString(), After.CONTINUE),
                            ProgressListener.none());
            System.out.println("saved " + running);
            assertThat(running.rounds()).isPositive();
            assertThat(running.finalPages()).isLessThan(running.pages() / 2);
            qemu.guest().awaitWrites();
            assertThatThrownBy(() -> restore(b, file))
                    .as("the guest has its disk")
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("lock");
            assertThat(b.list()).isEmpty();
            qemu.guest().awaitWrites();

            a.save(new SaveRequest("g", file.toString(), After.END), ProgressListener.none());
            assertThat(a.list()).isEmpty();
            assertThat(qemu.process().alive()).isFalse();
            DomainStatus restored = restore(b, file);
            assertThat(restored.state()).isEqualTo(State.RUNNING);
            assertThat(restored.disks().getFirst().path()).isEqualTo(qemu.image().toString());
            ForeignQemu.awaitWritten(b, qemu.image());

            b.pause("g");
            b.save(new SaveRequest("g", file.toString(), After.END), ProgressListener.none());
            restore(a, file);
            ForeignQemu.awaitWritten(a, qemu.image());
            a.destroy("g");
            requirePattern(hosts, qemu);
        }
    }

    @Tag(LongRun.TAG)
    @Test
    void a_copy_of_its_disk_at_that_moment_goes_on_beside_it() throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts, "raw", "-drive file=IMAGE,format=raw,if=virtio")) {
            Node a = hosts.start("a");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            Path file = hosts.directory.resolve("g.save");
            a.save(new SaveRequest("g", file.toString(), After.PAUSE), ProgressListener.none());
            Path copy = Files.copy(qemu.image(), hosts.directory.resolve("copy.raw"));
            a.unpause("g");
            qemu.guest().awaitWrites();
            a.restore(
                    new RestoreRequest(
                            file.toString(), "h", Map.of(qemu.image().toString(), copy.toString())),
                    ProgressListener.none());
            assertThat(a.status("h").disks().getFirst().path()).isEqualTo(copy.toString());
            ForeignQemu.awaitWritten(a, copy);
            qemu.guest().awaitWrites();
            a.destroy("h");
            a.destroy("g");
            qemu.guest().requirePattern(copy);
            qemu.guest().requirePattern(qemu.image());
        }
    }

    private static DomainStatus restore(Node node, Path file) {
        return node.restore(new RestoreRequest(file.toString(), null), ProgressListener.none());
    }

    private static void requirePattern(TestHosts hosts, ForeignQemu qemu) throws Exception {
        Path raw = hosts.directory.resolve("checked.raw");
        LoopDevice.run(
                List.of(
                        "qemu-img",
                        "convert",
                        "-O",
                        "raw",
                        qemu.image().toString(),
                        raw.toString()));
        qemu.guest().requirePattern(raw);
    }
}
