package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.NodeApi;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.api.ReprotectionStatus;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** Domains that become protected again by themselves. */
@Tag("qemu")
@Timeout(180)
class ReprotectionTest {
    @Test
    void a_survivor_is_protected_by_the_old_primary_again_and_so_on() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DomainStatus created = a.create(hosts.firmwareGuest("g"));
            assertThat(created.reprotection().state()).isEqualTo(ReprotectionStatus.State.OFF);
            DomainStatus first =
                    a.remus(
                            TestHosts.staying("g", ArbiterKind.NONE, b.port()),
                            ProgressListener.none());
            assertThat(first.reprotection().state()).isEqualTo(ReprotectionStatus.State.PROTECTED);
            assertThat(first.reprotection().candidates()).containsExactly("127.0.0.1:" + b.port());

            kill(created.pid());
            DomainStatus onB = await(b, ReprotectionTest::isProtected);
            assertThat(onB.protection().generation()).isEqualTo(1);
            assertThat(onB.reprotection().candidates()).containsExactly("127.0.0.1:" + a.port());
            assertThat(a.status("g").role()).isEqualTo(Role.SECONDARY);

            kill(onB.pid());
            DomainStatus onA = await(a, ReprotectionTest::isProtected);
            assertThat(onA.protection().generation()).isEqualTo(2);
            assertThat(b.status("g").role()).isEqualTo(Role.SECONDARY);

            DomainStatus ended = a.unprotect("g");
            assertThat(ended.role()).isEqualTo(Role.UNPROTECTED);
            assertThat(ended.reprotection().state()).isEqualTo(ReprotectionStatus.State.OFF);
            awaitNone(b);
            staysAlone(a, b);
            assertThatThrownBy(() -> a.unprotect("g"))
                    .isInstanceOfSatisfying(
                            ApiException.class,
                            e -> assertThat(e.kind()).isEqualTo(ApiException.Kind.NOT_PROTECTED));
        }
    }

    @Test
    void disks_are_replicated_again_too_there_and_back_and_there() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a")) {
            Node b = hosts.start("b");
            a.start();
            DiskGuest guest = DiskGuest.in(hosts, "g");
            a.client().create(guest.source());
            guest.awaitWrites();
            a.client()
                    .remus(
                            TestHosts.staying("g", ArbiterKind.NONE, b.port()),
                            ProgressListener.none());
            guest.awaitWrites();

            // The first copy still runs, muted, with its disk open, when its daemon comes back.
            a.kill();
            await(b, s -> s.role() == Role.SURVIVOR);
            a.start();
            DomainStatus onB = await(b, ReprotectionTest::isProtected);
            guest.awaitWrites();

            kill(onB.pid());
            DomainStatus onA = await(a.client(), ReprotectionTest::isProtected);
            assertThat(onA.protection().generation()).isEqualTo(2);
            guest.awaitWrites();

            kill(onA.pid());
            DomainStatus last = await(b, ReprotectionTest::isProtected);
            assertThat(last.protection().generation()).isEqualTo(3);
            guest.awaitWrites();
            b.unprotect("g");
            b.destroy("g");
            guest.requirePattern(Path.of(last.disks().getFirst().path()));
        }
    }

    @Test
    void a_primary_that_lost_its_secondary_takes_another_allowed_node() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            Node c = hosts.start("c");
            b.start();
            a.create(hosts.firmwareGuest("g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.NONE, b.port(), c.port()),
                    ProgressListener.none());
            b.kill();
            DomainStatus again = await(a, s -> isProtected(s) && s.protection().peer().equals("c"));
            assertThat(again.reprotection().candidates())
                    .containsExactly("127.0.0.1:" + b.port(), "127.0.0.1:" + c.port());
            // Somebody had to decide that it goes on here: no older replica is newer than that.
            assertThat(again.protection().generation()).isEqualTo(1);
        }
    }

    @Test
    void an_undecided_primary_goes_on_alone_by_unprotect_and_looks_until_the_second_unprotect()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            b.start();
            a.create(hosts.firmwareGuest("g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                    ProgressListener.none());
            b.kill();
            DomainStatus undecided = await(a, s -> s.protection().state().equals("deciding"));
            assertThat(undecided.role()).isEqualTo(Role.PRIMARY);
            assertThat(undecided.reprotection().nextTryMillis()).isEqualTo(-1);

            DomainStatus alone = a.unprotect("g");
            assertThat(alone.role()).isEqualTo(Role.UNPROTECTED);
            DomainStatus looking =
                    await(
                            a,
                            s ->
                                    s.reprotection().attempts() >= 3
                                            && s.reprotection().lastError() != null);
            assertThat(looking.state()).isEqualTo(State.RUNNING);
            assertThat(looking.role()).isEqualTo(Role.UNPROTECTED);

            DomainStatus ended = a.unprotect("g");
            assertThat(ended.reprotection().state()).isEqualTo(ReprotectionStatus.State.OFF);
            b.start();
            staysAlone(a, b.client());
        }
    }

    @Test
    void a_lost_secondary_that_comes_back_is_taken_again_and_a_restarted_primary_goes_on_looking()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            a.start();
            b.start();
            a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(
                            TestHosts.staying("g", ArbiterKind.NONE, b.port()),
                            ProgressListener.none());
            b.kill();
            await(a.client(), s -> s.reprotection().attempts() >= 2);
            a.kill();
            a.start();
            assertThat(a.client().status("g").reprotection().candidates())
                    .containsExactly("127.0.0.1:" + b.port());
            b.start();
            DomainStatus again = await(a.client(), ReprotectionTest::isProtected);
            assertThat(again.protection().peer()).isEqualTo("b");
        }
    }

    @Test
    void a_stale_copy_of_a_killed_daemon_stands_down_and_holds_the_replica() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a")) {
            Node b = hosts.start("b");
            a.start();
            DomainStatus created = a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(
                            TestHosts.staying("g", ArbiterKind.NONE, b.port()),
                            ProgressListener.none());
            a.kill();
            await(b, s -> s.role() == Role.SURVIVOR);
            // Its QEMU still runs, muted, when the daemon comes back.
            assertThat(ProcessHandle.of(created.pid())).isPresent();
            a.start();
            DomainStatus again = await(b, ReprotectionTest::isProtected);
            assertThat(again.protection().peer()).isEqualTo("a");
            assertThat(holdfast.qemu.launch.ProcessIdentity.of(created.pid())).isEmpty();
        }
    }

    @Test
    void a_stale_copy_that_cannot_ask_its_old_secondary_gives_way_to_a_newer_generation()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node c = hosts.start("c");
            a.start();
            b.start();
            a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(
                            TestHosts.staying("g", ArbiterKind.NONE, b.port(), c.port()),
                            ProgressListener.none());
            a.kill();
            DomainStatus onB =
                    await(b.client(), s -> isProtected(s) && s.protection().peer().equals("c"));
            b.kill();
            kill(onB.pid());
            await(c, s -> s.role() == Role.SURVIVOR);
            // A asks b, which never answers; c looks for b, then for a.
            a.start();
            DomainStatus onC = await(c, ReprotectionTest::isProtected);
            assertThat(onC.protection().peer()).isEqualTo("a");
            assertThat(onC.protection().generation()).isEqualTo(2);
            assertThat(a.client().status("g").role()).isEqualTo(Role.SECONDARY);
        }
    }

    @Test
    void of_two_copies_that_run_neither_protects_the_other() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a")) {
            Node b = hosts.start("b");
            a.start();
            a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(
                            TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                            ProgressListener.none());
            a.kill();
            await(b, s -> s.protection().state().equals("deciding"));
            // The operator's mistake: a word for "the other one is dead" on both sides.
            b.failover("g");
            await(b, s -> s.role() == Role.SURVIVOR);
            b.abandon();
            a.start();
            await(a.client(), s -> s.lastEvent().text().contains("does not answer"));
            a.client().unprotect("g");
            Node again = hosts.start("b");
            DomainStatus here =
                    await(
                            again,
                            s ->
                                    s.reprotection().lastError() != null
                                            && s.reprotection().lastError().contains("generation"));
            assertThat(here.reprotection().lastError()).contains("generation 1");
            assertThat(here.state()).isEqualTo(State.RUNNING);
            assertThat(here.role()).isIn(Role.SURVIVOR, Role.PRIMARY);
            DomainStatus there = a.client().status("g");
            assertThat(there.state()).isEqualTo(State.RUNNING);
            // One of them is destroyed: now the other is protected there.
            a.client().destroy("g");
            await(again, ReprotectionTest::isProtected);
        }
    }

    @Test
    void remus_while_it_looks_takes_the_new_node_at_once() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            Node c = hosts.start("c");
            b.start();
            a.create(hosts.firmwareGuest("g"));
            a.remus(TestHosts.staying("g", ArbiterKind.NONE, b.port()), ProgressListener.none());
            b.kill();
            await(a, s -> s.reprotection().attempts() >= 3);
            // Where the first cannot be reached, the next is asked.
            DomainStatus again =
                    a.remus(
                            TestHosts.staying("g", ArbiterKind.NONE, b.port(), c.port()),
                            ProgressListener.none());
            assertThat(again.protection().peer()).isEqualTo("c");
            assertThat(again.reprotection().state()).isEqualTo(ReprotectionStatus.State.PROTECTED);
            assertThat(again.reprotection().candidates())
                    .containsExactly("127.0.0.1:" + b.port(), "127.0.0.1:" + c.port());
        }
    }

    @Test
    void a_node_that_is_told_not_to_does_not_look() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b", Node.Looks.NEVER);
            DomainStatus created = a.create(hosts.firmwareGuest("g"));
            a.remus(TestHosts.staying("g", ArbiterKind.NONE, b.port()), ProgressListener.none());
            kill(created.pid());
            await(b, s -> s.role() == Role.SURVIVOR);
            staysAlone(b, a);
            ReprotectionStatus none = b.status("g").reprotection();
            assertThat(none.state()).isEqualTo(ReprotectionStatus.State.OFF);
            assertThat(none.lastError()).contains("reprotect: false", "holdfast remus g NODE");
            b.unprotect("g");
            assertThat(b.status("g").reprotection().lastError()).as("no wish").isNull();
        }
    }

    @Test
    void a_node_restarted_in_order_protects_its_domains_again() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                    ProgressListener.none());
            a.close();
            Node again = hosts.start("a");
            await(again, ReprotectionTest::isProtected);
        }
    }

    private static boolean isProtected(DomainStatus status) {
        return status.role() == Role.PRIMARY
                && status.protection() != null
                && status.protection().protectedSince() != null
                && status.protection()
                        .state()
                        .matches("requested|granted|capturing|sending|loading")
                && status.reprotection().state() == ReprotectionStatus.State.PROTECTED;
    }

    /** Longer than the first attempts after a loss would take. */
    private static void staysAlone(NodeApi node, NodeApi other) throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(2);
        while (System.nanoTime() - until < 0) {
            DomainStatus status = node.status("g");
            assertThat(status.role()).isIn(Role.UNPROTECTED, Role.SURVIVOR);
            assertThat(other.list()).noneMatch(s -> s.role() == Role.SECONDARY);
            node.awaitChange("g", status.change(), 200);
        }
    }

    /** The other node says that it has discarded a replica before it has tidied up. */
    private static void awaitNone(NodeApi node) throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!node.list().isEmpty()) {
            assertThat(System.nanoTime() - until).isNegative();
            Thread.sleep(10);
        }
    }

    private static void kill(long pid) {
        ProcessHandle.of(pid).orElseThrow().destroyForcibly();
    }

    private static DomainStatus await(NodeApi node, Predicate<DomainStatus> condition)
            throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(40);
        DomainStatus status = null;
        while (System.nanoTime() - until < 0) {
            try {
                status = node.status("g");
                if (condition.test(status)) {
                    return status;
                }
            } catch (ApiException e) {
                // Between two roles there may be no such domain for a moment.
                if (e.kind() != ApiException.Kind.UNKNOWN_DOMAIN) {
                    throw e;
                }
            }
            Thread.sleep(10);
        }
        throw new AssertionError("not within 40 s: " + status);
    }
}
