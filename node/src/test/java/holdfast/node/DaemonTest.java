package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.qemu.launch.ProcessIdentity;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** A daemon as a process of its own, killed with SIGKILL; the other node lives in this process. */
@Tag("qemu")
@Timeout(120)
class DaemonTest {
    @Test
    void a_killed_daemon_does_not_harm_an_unprotected_guest() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a")) {
            a.start();
            DomainStatus created = a.client().create(hosts.firmwareGuest("g"));
            a.kill();
            assertThat(ProcessHandle.of(created.pid())).isPresent();
            a.start();
            DomainStatus met = a.client().status("g");
            assertThat(met.pid()).isEqualTo(created.pid());
            assertThat(met.state()).isEqualTo(State.RUNNING);
            a.client().destroy("g");
            assertThat(hosts.ramFiles()).isEmpty();
        }
    }

    @Test
    void a_primary_that_comes_back_goes_on_where_the_replica_had_not_run() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a")) {
            Node b = hosts.start("b");
            a.start();
            DomainStatus created = a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            a.kill();
            await(b, s -> s.protection().state().equals("deciding"));
            a.start();
            DomainStatus back = await(a.client(), s -> s.role() == Role.UNPROTECTED);
            assertThat(back.state()).isEqualTo(State.RUNNING);
            assertThat(back.pid()).isEqualTo(created.pid());
            assertThat(back.lastEvent().text()).contains("discarded the replica");
            assertThat(b.list()).isEmpty();
            a.client().destroy("g");
        }
    }

    @Test
    void an_operators_pause_outlives_the_daemon_of_a_primary() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a")) {
            Node b = hosts.start("b");
            a.start();
            a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            DomainStatus paused = a.client().pause("g");
            assertThat(paused.state()).isEqualTo(State.PAUSED);
            // Until all of QEMU's state was saved once more: it is given once for each stop.
            await(
                    a.client(),
                    s ->
                            s.protection().epochsCommitted()
                                    > paused.protection().epochsCommitted() + 60);
            a.kill();
            await(b, s -> s.protection().state().equals("deciding"));
            a.start();
            DomainStatus back = await(a.client(), s -> s.role() == Role.UNPROTECTED);
            assertThat(back.lastEvent().text()).contains("discarded the replica");
            assertThat(back.state()).isEqualTo(State.PAUSED);
            // What QEMU itself says is what the next daemon goes by.
            a.kill();
            a.start();
            assertThat(a.client().status("g").state()).isEqualTo(State.PAUSED);

            assertThat(a.client().unpause("g").state()).isEqualTo(State.RUNNING);
            a.client()
                    .remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            a.kill();
            await(b, s -> s.protection().state().equals("deciding"));
            a.start();
            DomainStatus again = await(a.client(), s -> s.role() == Role.UNPROTECTED);
            assertThat(again.state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void a_primary_that_comes_back_ends_its_copy_where_the_replica_runs() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a")) {
            Node b = hosts.start("b");
            a.start();
            DomainStatus created = a.client().create(hosts.firmwareGuest("g"));
            a.client().remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            long killed = System.nanoTime();
            a.kill();
            DomainStatus survivor = await(b, s -> s.role() == Role.SURVIVOR);
            System.out.println(
                    "failover millis from kill of the daemon to the survivor's role "
                            + TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - killed));
            assertThat(survivor.state()).isEqualTo(State.RUNNING);
            assertThat(ProcessHandle.of(created.pid())).isPresent();
            a.start();
            await(a.client(), s -> s.state() == State.ENDED);
            assertThat(ProcessIdentity.of(created.pid())).isEmpty();
        }
    }

    @Test
    void a_primary_that_comes_back_alone_stays_suspended_until_the_operator_decides()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            a.start();
            b.start();
            a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(
                            TestHosts.remus("g", b.port(), ArbiterKind.OPERATOR),
                            ProgressListener.none());
            a.kill();
            b.kill();
            a.start();
            DomainStatus muted =
                    await(a.client(), s -> s.lastEvent().text().contains("does not answer"));
            assertThat(muted.state()).isEqualTo(State.STOPPED);
            assertThat(muted.role()).isEqualTo(Role.PRIMARY);
            assertThat(muted.lastEvent().text()).contains("holdfast unprotect g");
            DomainStatus decided = a.client().unprotect("g");
            assertThat(decided.state()).isEqualTo(State.RUNNING);
            assertThat(decided.role()).isEqualTo(Role.UNPROTECTED);
            a.client().destroy("g");
            // The replica of a killed daemon is discarded when it starts again.
            b.start();
            assertThat(b.client().list()).isEmpty();
            assertThat(hosts.ramFiles()).isEmpty();
        }
    }

    @Test
    void a_stale_replica_that_comes_back_hears_of_it_from_a_daemon_that_was_started_meanwhile()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon a = new TestDaemon(hosts, "a");
                TestDaemon b = new TestDaemon(hosts, "b")) {
            a.start();
            b.start();
            a.client().create(hosts.firmwareGuest("g"));
            a.client()
                    .remus(
                            TestHosts.remus("g", b.port(), ArbiterKind.OPERATOR),
                            ProgressListener.none());
            b.signal("STOP");
            try {
                await(a.client(), s -> s.protection().state().equals("deciding"));
                assertThat(a.client().unprotect("g").role()).isEqualTo(Role.UNPROTECTED);
                a.kill();
                a.start();
            } finally {
                b.signal("CONT");
            }
            MigratingPair.await("the replica's end", () -> b.client().list().isEmpty());
            MigratingPair.await(
                    "that it is known to be told", () -> stale(a).toFile().list().length == 0);
            assertThat(a.client().status("g").state()).isEqualTo(State.RUNNING);
            assertThat(hosts.ramFiles()).hasSize(2);
        }
    }

    private static java.nio.file.Path stale(TestDaemon daemon) {
        return daemon.state().resolve("stale-replicas");
    }

    private static DomainStatus await(
            holdfast.node.api.NodeApi node, Predicate<DomainStatus> condition)
            throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (true) {
            DomainStatus status = node.status("g");
            if (condition.test(status)) {
                return status;
            }
            if (System.nanoTime() - until > 0) {
                throw new AssertionError("not within 30 s: " + status);
            }
            Thread.sleep(5);
        }
    }
}
