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
import holdfast.qemu.qmp.QmpClient;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** What a guest's disks are mirrored to hangs, with real QEMU processes and a guest that writes. */
@Tag("qemu")
@Timeout(180)
class MirrorHangTest {
    private static final Duration STALL = Duration.ofSeconds(30);
    private static final Duration HANG = Duration.ofSeconds(2);

    /** Of what has a limit of its own, on a busy machine. */
    private static final Duration RESERVE = Duration.ofSeconds(10);

    private static void awaitDown(CountDownLatch latch) throws InterruptedException {
        assertThat(latch.await(30, TimeUnit.SECONDS)).isTrue();
    }

    private static Duration since(long nanos) {
        return Duration.ofNanos(System.nanoTime() - nanos);
    }

    /** Alone, on its own disk; protected again; and what protected it is worth something. */
    private static void requireProtectedAgain(Node a, Node b, DiskGuest guest) throws Exception {
        guest.awaitWrites();
        a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
        DomainStatus again = await(a, "g", s -> s.protection().epochsCommitted() >= 10);
        ProcessHandle.of(again.pid()).orElseThrow().destroyForcibly();
        DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
        guest.awaitWrites();
        b.destroy("g");
        guest.requirePattern(Path.of(survivor.disks().getFirst().path()));
        guest.requirePattern(guest.image());
    }

    @Test
    void an_export_that_hangs_in_epochs_ends_protection_and_the_guest_goes_on() throws Exception {
        try (TestHosts hosts = new TestHosts();
                FaultyMirroring faulty = new FaultyMirroring()) {
            Node a = hosts.start("a", Node.Looks.BY_ITSELF, faulty.within(STALL, HANG));
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.create(guest.source());
            guest.awaitWrites();
            a.remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);

            faulty.newest().hang(1);
            awaitDown(faulty.newest().hung);
            long hung = System.nanoTime();
            DomainStatus meanwhile = a.status("g");
            assertThat(since(hung)).as("status waits for no QEMU").isLessThan(HANG);
            assertThat(meanwhile.role()).isEqualTo(Role.PRIMARY);
            guest.awaitWrites();
            Duration stood = since(hung);
            System.out.println("the guest writes again after " + stood);
            assertThat(stood).isLessThan(HANG.plus(HangWatch.GRACE).plus(RESERVE));
            DomainStatus alone = await(a, "g", s -> s.role() == Role.UNPROTECTED);
            assertThat(alone.state()).isEqualTo(State.RUNNING);
            assertThat(alone.lastEvent().text())
                    .contains("QEMU waited 2000 ms for its mirrored disk writes to be taken");
            requireProtectedAgain(a, b, guest);
        }
    }

    @Tag(LongRun.TAG)
    @Test
    void an_export_that_hangs_in_the_first_copy_ends_it_and_the_next_one_succeeds()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                FaultyMirroring faulty = new FaultyMirroring()) {
            Node a = hosts.start("a", Node.Looks.BY_ITSELF, faulty.within(STALL, HANG));
            Node b = hosts.start("b");
            DiskGuest guest = DiskGuest.in(hosts, "g");
            guest.grow(64);
            a.create(guest.source());
            guest.awaitWrites();
            faulty.tellNext(export -> export.hang(20));
            long begun = System.nanoTime();
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("g", b, ArbiterKind.NONE),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("not protected")
                    .hasMessageContaining("QEMU waited 2000 ms");
            System.out.println("given up after " + since(begun));
            assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
            requireProtectedAgain(a, b, guest);
        }
    }

    @Test
    void a_first_copy_that_does_not_move_is_given_up_and_the_next_one_succeeds() throws Exception {
        try (TestHosts hosts = new TestHosts();
                FaultyMirroring faulty = new FaultyMirroring()) {
            Node a =
                    hosts.start(
                            "a",
                            Node.Looks.BY_ITSELF,
                            faulty.within(Duration.ofSeconds(2), Mirroring.DEFAULT.hang()));
            Node b = hosts.start("b");
            Path monitor = hosts.directory.resolve("third");
            DiskGuest guest =
                    DiskGuest.in(
                            hosts,
                            "g",
                            "extra: [-qmp, \"unix:" + monitor + ",server=on,wait=off\"]");
            guest.grow(64);
            a.create(guest.source());
            guest.awaitWrites();
            faulty.tellNext(export -> export.hang(20));
            CountDownLatch begun = new CountDownLatch(1);
            try (QmpClient third = QmpClient.connect(monitor, RESERVE);
                    var _ =
                            third.subscribe(
                                    event -> {
                                        if (event.name().equals("JOB_STATUS_CHANGE")) {
                                            begun.countDown();
                                        }
                                    })) {
                CompletableFuture<DomainStatus> protecting =
                        CompletableFuture.supplyAsync(
                                () ->
                                        a.remus(
                                                TestHosts.remus("g", b, ArbiterKind.NONE),
                                                ProgressListener.none()));
                awaitDown(begun);
                awaitDown(faulty.newest().hung);
                // Whatever may keep a job from going on, with exports that answer.
                third.execute("block-job-pause", Map.of("device", "holdfast-disk-0"));
                faulty.newest().release();
                long paused = System.nanoTime();
                assertThatThrownBy(() -> protecting.get(60, TimeUnit.SECONDS))
                        .hasMessageContaining("not protected")
                        .hasMessageContaining("the copy of the disks stands still since 2 s");
                System.out.println("given up after " + since(paused));
                assertThat(third.execute("query-block-jobs")).isEmpty();
            }
            assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
            requireProtectedAgain(a, b, guest);
        }
    }

    private static DiskGuest protectedBy(
            TestHosts hosts, TestDaemon a, TestDaemon b, ArbiterKind arbiter) throws Exception {
        a.start();
        b.start();
        DiskGuest guest = DiskGuest.in(hosts, "g");
        a.client().create(guest.source());
        guest.awaitWrites();
        a.client().remus(TestHosts.remus("g", b.port(), arbiter), ProgressListener.none());
        await(a.client(), "g", s -> s.protection().epochsCommitted() >= 10);
        return guest;
    }

    /** For so long the secondary has heard of no epoch. */
    private static void awaitNothingCommittedFor(TestDaemon secondary, Duration time)
            throws Exception {
        await(
                secondary.client(),
                "g",
                s -> s.protection().lastCommitAgeMillis() >= time.toMillis());
    }

    @Test
    void a_daemon_that_was_stopped_for_long_lets_the_guest_go_on_when_it_is_back()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            DiskGuest guest = protectedBy(hosts, a, b, ArbiterKind.OPERATOR);
            a.signal("STOP");
            // Longer than the heartbeats' deadline and than anything waits for QEMU.
            awaitNothingCommittedFor(b, QmpClient.COMMAND_LIMIT.plusSeconds(1));
            assertThat(b.client().status("g").protection().state()).isEqualTo("deciding");
            a.signal("CONT");
            long back = System.nanoTime();
            guest.awaitWrites();
            Duration stood = since(back);
            System.out.println("the guest writes after " + stood);
            assertThat(stood).isLessThan(RESERVE);
            DomainStatus undecided =
                    await(a.client(), "g", s -> s.protection().state().equals("deciding"));
            assertThat(undecided.state()).isEqualTo(State.RUNNING);
            DomainStatus alone = a.client().unprotect("g");
            assertThat(alone.role()).isEqualTo(Role.UNPROTECTED);
            guest.awaitWrites();
        }
    }

    @Tag(LongRun.TAG)
    @Test
    void a_daemon_that_was_stopped_for_a_moment_goes_on_protecting() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            DiskGuest guest = protectedBy(hosts, a, b, ArbiterKind.OPERATOR);
            a.signal("STOP");
            // Shorter than the heartbeats' deadline.
            awaitNothingCommittedFor(b, Duration.ofSeconds(2));
            a.signal("CONT");
            guest.awaitWrites();
            long before = a.client().status("g").protection().epochsCommitted();
            DomainStatus on =
                    await(a.client(), "g", s -> s.protection().epochsCommitted() >= before + 10);
            assertThat(on.role()).isEqualTo(Role.PRIMARY);
        }
    }

    @Tag(LongRun.TAG)
    @Test
    void a_stopped_daemon_that_is_killed_frees_the_guest_and_status_says_so() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            DiskGuest guest = protectedBy(hosts, a, b, ArbiterKind.OPERATOR);
            a.signal("STOP");
            await(b.client(), "g", s -> s.protection().state().equals("deciding"));
            a.kill();
            a.start();
            DomainStatus back =
                    await(
                            a.client(),
                            "g",
                            s -> s.state() == State.RUNNING && s.role() == Role.UNPROTECTED);
            assertThat(back.lastEvent().text()).isNotBlank();
            System.out.println("last event: " + back.lastEvent().text());
            guest.awaitWrites();
        }
    }
}
