package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * QEMU processes that nobody of Holdfast started, with disks that the guest writes and checks
 * against its memory.
 */
@Tag("qemu")
@Timeout(180)
class AttachedDiskTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    @Test
    void a_survivor_has_memory_and_disk_of_one_epoch_and_can_be_protected_again() throws Exception {
        failOverThereAndBack(
                "chain",
                "-drive file=IMAGE,if=none,id=d,cache=unsafe,throttling.iops-total=100000"
                        + " -device virtio-blk-pci,drive=d");
    }

    @Tag(LongRun.TAG)
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "raw|-drive file=IMAGE,format=raw,if=virtio",
                "qcow2|-blockdev driver=file,node-name=f,filename=IMAGE,auto-read-only=on"
                        + " -blockdev driver=qcow2,node-name=d,file=f,read-only=off,discard=unmap"
                        + " -device virtio-blk-pci,drive=d",
            })
    void so_has_one_of_other_words(String kind, String words) throws Exception {
        failOverThereAndBack(kind, words);
    }

    private static void failOverThereAndBack(String kind, String words) throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu = ForeignQemu.withDiskGuest(hosts, kind, words)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            DomainStatus attached = a.attach(new AttachRequest(qemu.monitor().toString(), null));
            assertThat(attached.disks()).hasSize(1);
            assertThat(attached.disks().getFirst().path()).isEqualTo(qemu.image().toString());
            assertThat(attached.disks().getFirst().bytes()).isEqualTo(32 << 20);

            a.remus(TestHosts.remus("theirs", b, ArbiterKind.NONE), ProgressListener.none());
            await(a, "theirs", s -> s.protection().epochsCommitted() >= 40);
            qemu.guest().awaitWrites();
            qemu.process().kill(LIMIT);
            DomainStatus survivor = await(b, "theirs", s -> s.role() == Role.SURVIVOR);
            Path replica = hosts.directory.resolve("b-replicas/theirs/disk0.raw");
            assertThat(survivor.disks().getFirst().path()).isEqualTo(replica.toString());
            ForeignQemu.awaitWritten(b, replica);
            await(a, "theirs", s -> s.state() == State.ENDED);
            assertThat(qemu.image()).as("the image of others").exists();

            b.remus(TestHosts.remus("theirs", a, ArbiterKind.OPERATOR), ProgressListener.none());
            await(b, "theirs", s -> s.protection().epochsCommitted() >= 10);
            Path back = Path.of(a.failover("theirs").disks().getFirst().path());
            assertThat(back).isEqualTo(hosts.directory.resolve("a-replicas/theirs/disk0.raw"));
            ForeignQemu.awaitWritten(a, back);
            a.destroy("theirs");
            qemu.guest().requirePattern(back);
        }
    }

    /** What QEMU does with trims while a disk is mirrored, and that both images stay equal. */
    @ParameterizedTest
    @ValueSource(strings = {"raw", "qcow2"})
    void what_a_guest_trims_while_it_is_mirrored_is_trimmed_on_neither_side(String format)
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Path trimmed = Path.of(hosts.directory.toString(), "trimmed");
            LoopDevice.run(
                    List.of("qemu-img", "create", "-q", "-f", format, trimmed.toString(), "4M"));
            String words =
                    "-drive file=IMAGE,format=raw,if=virtio -blockdev driver="
                            + format
                            + ",node-name=t,discard=unmap,detect-zeroes=unmap,file.driver=file"
                            + ",file.discard=unmap,file.filename="
                            + trimmed
                            + " -device virtio-blk-pci,drive=t,id=t";
            try (ForeignQemu qemu = ForeignQemu.withDiskGuest(hosts, "raw", words);
                    QmpClient operator = QmpClient.connect(qemu.operator(), LIMIT)) {
                Node a = hosts.start("a");
                Node b = hosts.start("b");
                a.attach(new AttachRequest(qemu.monitor().toString(), null));
                guest(operator, "write -P 0x5a 0 4M");
                guest(operator, "discard 0 512k");
                a.remus(
                        TestHosts.remus("theirs", b, ArbiterKind.OPERATOR),
                        ProgressListener.none());
                guest(operator, "discard 1M 1M");
                guest(operator, "discard 2050k 1k");
                guest(operator, "write -P 0 3M 64k");
                guest(operator, "write -z -u 3200k 64k");
                long since = a.status("theirs").protection().epochsCommitted();
                await(a, "theirs", s -> s.protection().epochsCommitted() >= since + 3);
                b.failover("theirs");
                b.destroy("theirs");

                Path own = hosts.directory.resolve("own");
                LoopDevice.run(
                        List.of(
                                "qemu-img",
                                "convert",
                                "-O",
                                "raw",
                                trimmed.toString(),
                                own.toString()));
                byte[] replica =
                        Files.readAllBytes(hosts.directory.resolve("b-replicas/theirs/disk1.raw"));
                byte[] expected = new byte[4 << 20];
                Arrays.fill(expected, 512 << 10, expected.length, (byte) 0x5a);
                Arrays.fill(expected, 3 << 20, (3 << 20) + (64 << 10), (byte) 0);
                Arrays.fill(expected, 3200 << 10, 3264 << 10, (byte) 0);
                assertThat(replica).isEqualTo(expected);
                assertThat(Files.readAllBytes(own)).isEqualTo(expected);
            }
        }
    }

    /** As the guest's driver would, through the device. */
    static void guest(QmpClient operator, String request) {
        String told =
                operator.execute(
                                "human-monitor-command",
                                Map.of(
                                        "command-line",
                                        "qemu-io -d /machine/peripheral/t/virtio-backend \""
                                                + request
                                                + "\""))
                        .asText();
        assertThat(told).as(request).doesNotContainIgnoringCase("error");
    }

    @Test
    void a_host_that_dies_with_its_daemon_leaves_a_survivor_with_the_disk() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts,
                                "raw",
                                "-blockdev"
                                    + " driver=raw,node-name=d,file.driver=file,file.filename=IMAGE"
                                    + " -device virtio-blk-pci,drive=d")) {
            a.start();
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.client().attach(new AttachRequest(qemu.monitor().toString(), "g"));
            a.client().remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            await(a.client(), "g", s -> s.protection().epochsCommitted() >= 10);
            qemu.process().kill(LIMIT);
            a.kill();
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            Path replica = Path.of(survivor.disks().getFirst().path());
            ForeignQemu.awaitWritten(b, replica);

            a.start();
            b.remus(TestHosts.remus("g", a.port(), ArbiterKind.NONE), ProgressListener.none());
            await(b, "g", s -> s.protection().epochsCommitted() >= 10);
            ProcessHandle.of(survivor.pid()).orElseThrow().destroyForcibly();
            DomainStatus again = await(a.client(), "g", s -> s.role() == Role.SURVIVOR);
            Path back = Path.of(again.disks().getFirst().path());
            ForeignQemu.awaitWritten(a.client(), back);
            a.client().destroy("g");
            qemu.guest().requirePattern(back);
        }
    }

    @Test
    void a_primary_whose_daemon_was_killed_goes_on_on_its_own_disk() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts, "raw", "-drive file=IMAGE,if=virtio -hda OTHER")) {
            a.start();
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.client().attach(new AttachRequest(qemu.monitor().toString(), "g"));
            a.client()
                    .remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            await(a.client(), "g", s -> s.protection().epochsCommitted() >= 10);
            a.kill();
            a.start();
            await(a.client(), "g", s -> s.state() == State.RUNNING && s.role() == Role.UNPROTECTED);
            qemu.guest().awaitWrites();
            a.client()
                    .remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            await(a.client(), "g", s -> s.protection().epochsCommitted() >= 10);
            a.client().unprotect("g");
            qemu.guest().awaitWrites();
            a.client().destroy("g");
            qemu.guest().requirePattern(qemu.image());
        }
    }

    @Test
    void an_attached_domain_moves_there_and_back_with_a_copy_of_its_disk() throws Exception {
        moveThereAndBack("copied");
    }

    @Tag(LongRun.TAG)
    @Test
    void an_attached_domain_moves_there_and_back_with_its_shared_disk() throws Exception {
        moveThereAndBack("shared");
    }

    private static void moveThereAndBack(String storage) throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts,
                                "qcow2",
                                "-blockdev driver=file,node-name=f,filename=IMAGE"
                                        + " -blockdev driver=qcow2,node-name=d,file=f"
                                        + " -device virtio-blk-pci,drive=d")) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            MigrateRequest there = MigrateRequest.of("g", "127.0.0.1:" + b.port());
            MigrateRequest back = MigrateRequest.of("g", "127.0.0.1:" + a.port());
            boolean copied = storage.equals("copied");
            MigrateResult moved =
                    a.migrate(
                            copied ? there.withStorage(MigrateRequest.Storage.COPY) : there,
                            ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            Path at = Path.of(b.status("g").disks().getFirst().path());
            assertThat(at)
                    .isEqualTo(
                            copied
                                    ? hosts.directory.resolve("b-replicas/g/disk0.raw")
                                    : qemu.image());
            ForeignQemu.awaitWritten(b, at);
            assertThat(qemu.process().alive()).isFalse();
            MigrateResult returned =
                    b.migrate(
                            copied ? back.withStorage(MigrateRequest.Storage.COPY) : back,
                            ProgressListener.none());
            assertThat(returned.outcome()).as(returned.reason()).isEqualTo("moved");
            Path home = Path.of(a.status("g").disks().getFirst().path());
            ForeignQemu.awaitWritten(a, home);
            a.destroy("g");
            if (copied) {
                qemu.guest().requirePattern(home);
            } else {
                Path raw = hosts.directory.resolve("checked.raw");
                LoopDevice.run(
                        List.of(
                                "qemu-img",
                                "convert",
                                "-O",
                                "raw",
                                home.toString(),
                                raw.toString()));
                qemu.guest().requirePattern(raw);
            }
        }
    }

    @Test
    void a_protected_one_moves_with_its_disk_and_is_protected_again() throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts, "qcow2", "-drive file=IMAGE,if=virtio,format=qcow2")) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            Node c = hosts.start("c");
            qemu.guest().awaitWrites();
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                    ProgressListener.none());
            MigrateResult moved =
                    a.migrate(
                            MigrateRequest.of("g", "127.0.0.1:" + c.port())
                                    .withStorage(MigrateRequest.Storage.COPY),
                            ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            await(c, "g", s -> s.protection() != null && s.protection().epochsCommitted() >= 5);
            Path image = Path.of(c.status("g").disks().getFirst().path());
            ForeignQemu.awaitWritten(c, image);
            c.unprotect("g");
            c.destroy("g");
            qemu.guest().requirePattern(image);
        }
    }

    @Test
    void a_disk_that_cannot_be_replicated_is_refused_before_the_guest_is_touched()
            throws Exception {
        refused(
                "-drive file=IMAGE,format=raw,if=virtio -global virtio-blk-device.share-rw=on",
                "without share-rw=on");
    }

    @Tag(LongRun.TAG)
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "-drive file=IMAGE,format=raw,if=none,id=d -object iothread,id=io"
                        + " -device virtio-blk-pci,drive=d,iothread=io|without iothread=",
                "-drive file=IMAGE,format=raw,if=virtio,snapshot=on|without snapshot=on",
                "-drive file=IMAGE,format=raw,if=virtio,cache=none,file.locking=on|direct I/O",
            })
    void so_is_one_of_other_words(String words, String why) throws Exception {
        refused(words, why);
    }

    private static void refused(String words, String why) throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu = ForeignQemu.withDiskGuest(hosts, "raw", words);
                QmpClient operator = QmpClient.connect(qemu.operator(), LIMIT)) {
            Node a = hosts.start("a");
            AtomicInteger stops = new AtomicInteger();
            try (var _ =
                    operator.subscribe(
                            event -> {
                                if (event.name().equals("STOP")) {
                                    stops.incrementAndGet();
                                }
                            })) {
                assertThatThrownBy(
                                () -> a.attach(new AttachRequest(qemu.monitor().toString(), null)))
                        .isInstanceOf(ApiException.class)
                        .hasMessageContaining(why);
                operator.execute("query-status");
            }
            assertThat(stops).hasValue(0);
            assertThat(a.list()).isEmpty();
            qemu.guest().awaitWrites();
        }
    }

    @Test
    void a_disk_that_changed_since_the_start_is_refused_and_the_guest_writes_on() throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts,
                                "raw",
                                "-drive file=IMAGE,format=raw,if=virtio"
                                        + " -device pcie-root-port,id=p,chassis=1,slot=1");
                QmpClient operator = QmpClient.connect(qemu.operator(), LIMIT)) {
            Node a = hosts.start("a");
            Path plugged = hosts.directory.resolve("plugged");
            LoopDevice.run(List.of("truncate", "-s", "1M", plugged.toString()));
            operator.execute(
                    "blockdev-add",
                    Map.of("driver", "file", "node-name", "n", "filename", plugged.toString()));
            operator.execute(
                    "device_add", Map.of("driver", "virtio-blk-pci", "drive", "n", "bus", "p"));
            assertThatThrownBy(() -> a.attach(new AttachRequest(qemu.monitor().toString(), null)))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining(plugged.toString())
                    .hasMessageContaining("put it on the command line");
            qemu.guest().awaitWrites();
        }
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu =
                        ForeignQemu.withDiskGuest(
                                hosts, "raw", "-drive file=IMAGE,format=raw,if=virtio");
                QmpClient operator = QmpClient.connect(qemu.operator(), LIMIT)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.attach(new AttachRequest(qemu.monitor().toString(), null));
            operator.execute(
                    "blockdev-snapshot-sync",
                    Map.of(
                            "device",
                            "virtio0",
                            "snapshot-file",
                            hosts.directory.resolve("overlay").toString()));
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("theirs", b, ArbiterKind.NONE),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining(qemu.image().toString())
                    .hasMessageContaining("a snapshot or a job was begun");
            assertThat(a.status("theirs").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(b.list()).isEmpty();
            qemu.guest().awaitWrites();
        }
    }
}
