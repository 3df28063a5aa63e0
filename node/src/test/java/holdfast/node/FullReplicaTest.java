package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.api.ReprotectionStatus;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** The secondary's file systems are full, with real QEMU processes and a guest that writes. */
@Tag("qemu")
@Timeout(180)
class FullReplicaTest {
    private static final long MIB = 1 << 20;

    /** Alone, on its own disk; the other node has no replica that anybody could take for whole. */
    private static void requireAlone(Node a, Node b, DiskGuest guest, String where)
            throws Exception {
        DomainStatus alone = await(a, "g", s -> s.role() == Role.UNPROTECTED);
        assertThat(alone.state()).isEqualTo(State.RUNNING);
        assertThat(alone.lastEvent().text())
                .contains("No space left on device")
                .contains(where)
                .contains("make room");
        System.out.println("last event: " + alone.lastEvent().text());
        awaitNoReplica(b);
        assertThatThrownBy(() -> b.failover("g")).isInstanceOf(ApiException.class);
        guest.awaitWrites();
    }

    private static void awaitNoReplica(Node node) {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        try {
            DomainStatus replica = node.status("g");
            while (replica.state() != State.ENDED) {
                assertThat(System.nanoTime() - until).as("%s", replica).isNegative();
                replica = node.awaitChange("g", replica.change(), 1_000);
            }
        } catch (ApiException e) {
            assertThat(e.kind()).isEqualTo(ApiException.Kind.UNKNOWN_DOMAIN);
        }
    }

    /** It looks for room, and copies nothing meanwhile. */
    private static void requireLooking(Node a, Node b, String where) throws Exception {
        DomainStatus looking =
                await(
                        a,
                        "g",
                        s ->
                                s.reprotection().attempts() >= 4
                                        && s.reprotection().state()
                                                == ReprotectionStatus.State.LOOKING);
        assertThat(looking.reprotection().lastError())
                .contains("no room for the replica of \"g\"")
                .contains(where)
                .contains("make room there, until at least");
        assertThat(looking.reprotection().nextTryMillis()).isNotNegative();
        assertThatThrownBy(() -> protect(a, b))
                .as("asked by a person it says the same, and goes on looking")
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("no room for the replica of \"g\"");
        assertThat(a.status("g").reprotection().state())
                .isIn(ReprotectionStatus.State.LOOKING, ReprotectionStatus.State.PROTECTING);
    }

    private static void protect(Node a, Node b) {
        a.remus(TestHosts.staying("g", ArbiterKind.NONE, b.port()), ProgressListener.none());
    }

    /** By itself, as soon as there is room; and that session is as good as any. */
    private static void requireProtected(Node a, Node b, DiskGuest guest) throws Exception {
        DomainStatus primary =
                await(
                        a,
                        "g",
                        s -> s.protection() != null && s.protection().epochsCommitted() >= 20);
        a.unprotect("g");
        a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
        await(a, "g", s -> s.protection().epochsCommitted() >= 20);
        ProcessHandle.of(primary.pid()).orElseThrow().destroyForcibly();
        DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
        guest.awaitWrites();
        b.destroy("g");
        guest.requirePattern(Path.of(survivor.disks().getFirst().path()));
        guest.requirePattern(guest.image());
    }

    @Tag(LongRun.TAG)
    @Test
    void a_replica_that_has_no_room_ends_protection_and_not_the_domain() throws Exception {
        try (TestHosts hosts = new TestHosts();
                SmallFileSystem small =
                        SmallFileSystem.mount(hosts.directory.resolve("b-replicas"), 4 * MIB)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            // It boots: its disk is still one hole, which fits.
            a.pause("g");
            protect(a, b);
            a.unpause("g");
            // It boots, which takes a busy machine long, and then fills holes, until there is no
            // room for more: in the middle of an epoch that is committed.
            guest.awaitWrites();
            requireAlone(a, b, guest, "b-replicas/g/disk0.raw");
            Path image = small.root().resolve("g/disk0.raw");
            FileTime filled = Files.getLastModifiedTime(image);
            requireLooking(a, b, "b-replicas/g/disk0.raw");
            assertThat(Files.getLastModifiedTime(image))
                    .as("nothing of the disk is copied again")
                    .isEqualTo(filled);
            small.grow(64 * MIB);
            requireProtected(a, b, guest);
        }
    }

    /** Spilled or committed, whichever it is that finds no room. */
    @Test
    void a_journal_that_has_no_room_ends_protection_and_not_the_domain() throws Exception {
        try (TestHosts hosts = new TestHosts();
                SmallFileSystem small =
                        SmallFileSystem.mount(hosts.directory.resolve("b"), 3 * MIB)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            assertThatThrownBy(() -> protect(a, b))
                    .as("it would not last")
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("no room for the journal of \"g\"")
                    .hasMessageContaining("b/journals")
                    .hasMessageContaining("needed are at least 128 MiB; make room there");
            assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(hosts.directory.resolve("b-replicas/g/disk0.raw")).doesNotExist();
            awaitNoReplica(b);

            small.grow(256 * MIB);
            protect(a, b);
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            Path filler = fill(small.root());
            requireAlone(a, b, guest, "b/journals/");
            assertThat(filesIn(small.root().resolve("journals")))
                    .as("the images have room: what was committed is in them")
                    .isEmpty();
            fill(small.root());
            requireLooking(a, b, "b/journals/");
            Files.delete(filler);
            requireProtected(a, b, guest);
        }
    }

    private static Path fill(Path directory) throws IOException {
        Path filler = directory.resolve("filler");
        try (OutputStream out =
                Files.newOutputStream(
                        filler, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            byte[] some = new byte[4096];
            assertThatThrownBy(
                            () -> {
                                while (true) {
                                    out.write(some);
                                }
                            })
                    .isInstanceOf(IOException.class);
        }
        return filler;
    }

    private static List<Path> filesIn(Path directory) throws Exception {
        try (Stream<Path> files = Files.list(directory)) {
            return files.toList();
        }
    }
}
