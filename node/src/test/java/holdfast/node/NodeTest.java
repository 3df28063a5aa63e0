package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.NodeApi;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.ProtectionStatus;
import holdfast.node.api.RemusRequest;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveResult;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.node.link.PeerInquiry;
import holdfast.qemu.qmp.QmpClient;
import holdfast.wire.link.LinkMessage;
import holdfast.wire.link.Standing;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamVerdict;
import holdfast.wire.xen.StreamVerifier;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** Two nodes in one process with real QEMU processes. */
@Tag("qemu")
@Timeout(120)
class NodeTest {
    @Test
    void a_file_that_is_not_there_is_named_with_its_key_and_nothing_is_started() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            DomainSource source =
                    new DomainSource(
                            "/tmp/w.yaml",
                            "{name: w, memory: 64M, boot: {kernel: /nowhere/vmlinuz}}");
            assertThatThrownBy(() -> a.create(source))
                    .isInstanceOfSatisfying(
                            ApiException.class,
                            e -> assertThat(e.kind()).isEqualTo(ApiException.Kind.MISSING))
                    .hasMessageContaining("boot.kernel")
                    .hasMessageContaining("/nowhere/vmlinuz");
            assertThat(a.list()).isEmpty();
        }
    }

    @Test
    void a_disk_is_its_path_and_what_is_wrong_with_it_is_told_with_its_key() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Path image = hosts.directory.resolve("d.img");
            Files.write(image, new byte[1 << 20]);
            assertThatThrownBy(() -> a.create(hosts.guestWith("g", "disks: [none.img]")))
                    .isInstanceOfSatisfying(
                            ApiException.class,
                            e -> assertThat(e.kind()).isEqualTo(ApiException.Kind.MISSING))
                    .hasMessageContaining("disks[0].path names")
                    .hasMessageContaining("none.img, which does not exist");
            assertThatThrownBy(
                            () ->
                                    a.create(
                                            hosts.guestWith(
                                                    "g", "disks: [{path: d.img, format: qcow2}]")))
                    .isInstanceOfSatisfying(
                            ApiException.class,
                            e -> assertThat(e.kind()).isEqualTo(ApiException.Kind.BAD_REQUEST))
                    .hasMessageContaining("disks[0].format: " + image + " is no qcow2 image");
            assertThat(a.list()).isEmpty();

            DomainStatus created = a.create(hosts.guestWith("g", "disks: [d.img]"));
            assertThat(created.disks())
                    .containsExactly(
                            new DomainStatus.Disk(
                                    0,
                                    image.toString(),
                                    "raw",
                                    "read-write",
                                    1 << 20,
                                    image.toString(),
                                    null));
            assertThatThrownBy(() -> a.create(hosts.guestWith("h", "disks: [d.img]")))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("lock");
        }
    }

    @Test
    void a_domain_with_a_backup_is_protected_at_once_or_runs_and_says_why_not() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            String backup = "127.0.0.1:" + b.port();
            DomainStatus created = a.create(hosts.guestWith("g", "remus_backup: " + backup));
            assertThat(created.role()).isEqualTo(Role.PRIMARY);
            assertThat(created.remusBackup()).isEqualTo(backup);
            assertThat(created.protection().protectedSince()).isNotNull();
            assertThat(b.status("g").role()).isEqualTo(Role.SECONDARY);

            DomainStatus alone = a.create(hosts.guestWith("h", "remus_backup: 127.0.0.1:1"));
            assertThat(alone.state()).isEqualTo(State.RUNNING);
            assertThat(alone.role()).isEqualTo(Role.UNPROTECTED);
            assertThat(alone.protection()).isNull();
            assertThat(alone.lastEvent().text())
                    .startsWith("not protected: node 127.0.0.1:1 cannot be reached");
            assertThat(alone.reprotection().candidates()).containsExactly("127.0.0.1:1");
            await(a, "h", s -> s.reprotection().attempts() >= 2);
        }
    }

    @Test
    void a_domain_survives_the_death_of_its_process_and_can_be_protected_again() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            DomainStatus created = a.create(hosts.firmwareGuest("g"));
            assertThat(created.state()).isEqualTo(State.RUNNING);
            assertThat(created.role()).isEqualTo(Role.UNPROTECTED);

            DomainStatus protectedNow =
                    a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            assertThat(protectedNow.role()).isEqualTo(Role.PRIMARY);
            assertThat(b.status("g").role()).isEqualTo(Role.SECONDARY);
            assertThat(b.status("g").state()).isEqualTo(State.STANDBY);
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("g", b, ArbiterKind.NONE),
                                            ProgressListener.none()))
                    .isInstanceOfSatisfying(
                            ApiException.class,
                            e ->
                                    assertThat(e.kind())
                                            .isEqualTo(ApiException.Kind.ALREADY_PROTECTED));

            await(a, "g", s -> s.protection().epochsCommitted() >= 40);
            ProtectionStatus figures = a.status("g").protection();
            System.out.println("protection " + figures);
            assertThat(figures.pauseMicros().p50()).isPositive();

            ProcessHandle.of(created.pid()).orElseThrow().destroyForcibly();
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            assertThat(survivor.state()).isEqualTo(State.RUNNING);
            assertThat(survivor.pid()).isNotEqualTo(created.pid()).isPositive();
            await(a, "g", s -> s.state() == State.ENDED);

            DomainStatus again =
                    b.remus(TestHosts.remus("g", a, ArbiterKind.OPERATOR), ProgressListener.none());
            assertThat(again.role()).isEqualTo(Role.PRIMARY);
            assertThat(again.protection().generation()).isEqualTo(1);
            DomainStatus unprotected = b.unprotect("g");
            assertThat(unprotected.role()).isEqualTo(Role.UNPROTECTED);
            assertThat(unprotected.state()).isEqualTo(State.RUNNING);
            b.destroy("g");
            assertThat(b.list()).isEmpty();
        }
    }

    @Test
    void an_operator_moves_a_domain_by_failover() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            a.remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            assertThatThrownBy(() -> a.failover("g"))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("node b");
            DomainStatus moved = b.failover("g");
            assertThat(moved.role()).isEqualTo(Role.SURVIVOR);
            assertThat(moved.state()).isEqualTo(State.RUNNING);
            await(a, "g", s -> s.state() == State.ENDED);
        }
    }

    @Test
    void a_saved_domain_is_a_valid_stream_and_runs_again() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            a.create(hosts.firmwareGuest("g"));
            Path file = hosts.directory.resolve("g.save");
            SaveResult saved =
                    a.save(
                            new SaveRequest("g", file.toString(), SaveRequest.After.END),
                            ProgressListener.none());
            assertThat(saved.bytes()).isEqualTo(Files.size(file));
            assertThat(saved.pages()).isEqualTo(64L << 8);
            assertThat(a.list()).isEmpty();
            assertThat(hosts.ramFiles()).isEmpty();
            try (FileChannel stream = FileChannel.open(file)) {
                assertThat(StreamVerifier.verify(stream, ReaderOptions.PLAIN).deviation())
                        .isEmpty();
            }

            DomainStatus restored =
                    a.restore(new RestoreRequest(file.toString(), "h"), ProgressListener.none());
            assertThat(restored.name()).isEqualTo("h");
            assertThat(restored.state()).isEqualTo(State.RUNNING);
            DomainStatus paused = a.pause("h");
            assertThat(paused.state()).isEqualTo(State.PAUSED);
            assertThat(a.unpause("h").state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void a_restarted_daemon_meets_its_domains_again() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            DomainStatus created = a.create(hosts.firmwareGuest("g"));
            a.abandon();
            Node again = hosts.start("a");
            DomainStatus met = again.status("g");
            assertThat(met.pid()).isEqualTo(created.pid());
            assertThat(met.state()).isEqualTo(State.RUNNING);
            assertThat(met.role()).isEqualTo(Role.UNPROTECTED);
        }
    }

    /** As a daemon does for a moment, and does not come to undo where it is killed then. */
    private static void stop(Path monitor) throws Exception {
        try (QmpClient qmp = QmpClient.connect(monitor, Duration.ofSeconds(10))) {
            qmp.execute("stop");
        }
    }

    private static Path monitorOf(TestHosts hosts, String node) throws Exception {
        try (Stream<Path> files = Files.walk(hosts.directory.resolve(node).resolve("run"))) {
            return files.filter(file -> file.endsWith("qmp.sock")).findFirst().orElseThrow();
        }
    }

    @Test
    void a_guest_that_the_dead_daemon_had_suspended_runs_again_unless_it_was_paused()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            a.create(hosts.firmwareGuest("g"));
            a.abandon();
            stop(monitorOf(hosts, "a"));
            Node second = hosts.start("a");
            DomainStatus met = second.status("g");
            assertThat(met.state()).isEqualTo(State.RUNNING);
            assertThat(met.lastEvent().text()).contains("had suspended it, and it runs again");

            second.pause("g");
            second.abandon();
            Node third = hosts.start("a");
            assertThat(third.status("g").state()).isEqualTo(State.PAUSED);
            assertThat(third.status("g").lastEvent().text()).contains("`holdfast unpause g`");
            assertThat(third.unpause("g").state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void a_suspended_guest_that_another_node_may_have_stays_suspended() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            a.create(hosts.firmwareGuest("g"));
            a.abandon();
            stop(monitorOf(hosts, "a"));
            Path state = hosts.directory.resolve("a");
            SessionLedger ledger =
                    new SessionLedger(state.resolve("sessions"), state.resolve("run/taken"));
            SessionLedger.Entry undecided =
                    new SessionLedger.Entry(
                            UUID.randomUUID(),
                            "g",
                            SessionLedger.Side.PRIMARY,
                            Standing.UNDECIDED,
                            0,
                            "hostB:7227",
                            "none",
                            25);
            ledger.put(undecided);
            DomainStatus met = hosts.start("a").status("g");
            assertThat(met.state()).isEqualTo(State.PAUSED);
            assertThat(met.lastEvent().text()).contains("node hostB:7227 may have it");
        }
    }

    @Test
    void after_a_start_of_the_host_no_process_is_taken_for_one_of_before() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            long pid = a.create(hosts.firmwareGuest("g")).pid();
            ProcessHandle sameNumber = ProcessHandle.of(pid).orElseThrow();
            try {
                a.abandon();
                // A replica's process is killed where it is met.
                hosts.rewriteRuntime("a", "g", Role.SECONDARY, 0);
                Files.writeString(
                        hosts.directory.resolve("a/boot-id"),
                        "00000000-0000-0000-0000-000000000000\n");
                Node again = hosts.start("a");
                assertThat(again.list()).isEmpty();
                assertThat(sameNumber.isAlive()).isTrue();
            } finally {
                sameNumber.destroyForcibly();
                sameNumber.onExit().get(10, TimeUnit.SECONDS);
            }
        }
    }

    /**
     * The last word of a hand-over is in memory for a moment: a daemon that is started anew finds
     * it there, and so knows that there was none; a host that is started anew does not know it.
     */
    @ParameterizedTest
    @CsvSource({
        "daemon, 0, DISCARDED",
        "host, 0, UNDECIDED",
        // Nobody knows whether it was told to run before that.
        "daemon and QEMU after the hand-over, 0, UNDECIDED",
        // It may have run for a moment before its process was ended.
        "daemon, 1, UNDECIDED"
    })
    void an_arrival_whose_daemon_died_is_given_back_but_not_one_whose_host_did(
            String died, long generation, Standing expected) throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            long pid = a.create(hosts.firmwareGuest("g")).pid();
            ProcessHandle qemu = ProcessHandle.of(pid).orElseThrow();
            try {
                a.abandon();
                hosts.rewriteRuntime("a", "g", Role.ARRIVING, 0);
                Path state = hosts.directory.resolve("a");
                SessionLedger ledger =
                        new SessionLedger(state.resolve("sessions"), state.resolve("run/taken"));
                SessionLedger.Entry entry =
                        new SessionLedger.Entry(
                                UUID.randomUUID(),
                                "g",
                                SessionLedger.Side.SECONDARY,
                                Standing.UNDECIDED,
                                generation,
                                "b",
                                "none",
                                0);
                ledger.put(entry);
                SessionLedger.Staged staged = ledger.stage(entry.with(Standing.TOOK_OVER, 1));
                if (died.startsWith("daemon and QEMU")) {
                    ledger.take(staged);
                    qemu.destroyForcibly();
                    qemu.onExit().get(10, TimeUnit.SECONDS);
                }
                if (died.equals("host")) {
                    Files.writeString(
                            state.resolve("boot-id"), "00000000-0000-0000-0000-000000000000\n");
                }
                Node again = hosts.start("a");
                assertThat(again.list()).isEmpty();
                assertThat(ledger.get(entry.session()).orElseThrow().standing())
                        .isEqualTo(expected);
                LinkMessage.Answer answer =
                        PeerInquiry.ask(
                                NodeAddress.parse("127.0.0.1:" + again.port()),
                                new NodeIdentity("b", UUID.randomUUID(), "test"),
                                entry.session(),
                                LinkMessage.Question.DISMISS);
                assertThat(answer.standing()).isEqualTo(expected);
                // 0 would say that it is about to be decided.
                assertThat(answer.generation()).isEqualTo(expected == Standing.UNDECIDED ? 1 : 0);
            } finally {
                qemu.destroyForcibly();
                qemu.onExit().get(10, TimeUnit.SECONDS);
            }
        }
    }

    @Test
    void a_survivor_whose_daemon_died_before_it_was_registered_is_met_as_survivor()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            a.remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            DomainStatus moved = b.failover("g");

            // What the store says between the take-over and the first note of it.
            b.abandon();
            hosts.rewriteRuntime("b", "g", Role.SECONDARY, 0);
            DomainStatus met = hosts.start("b").status("g");
            assertThat(met.pid()).isEqualTo(moved.pid());
            assertThat(met.role()).isEqualTo(Role.SURVIVOR);
            assertThat(met.state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void a_pause_is_the_primarys_and_its_survivor_runs() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            a.remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            assertThat(a.pause("g").state()).isEqualTo(State.PAUSED);
            long paused = a.status("g").protection().epochsCommitted();
            await(a, "g", s -> s.protection().epochsCommitted() > paused + 1);
            assertThat(b.failover("g").state()).isEqualTo(State.RUNNING);
        }
    }

    @Test
    void the_tee_of_a_plain_session_is_a_stream_of_the_published_format() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            a.create(hosts.firmwareGuest("g"));
            assertThat(a.nodeInfo().qemu().version()).matches("\\d+\\.\\d+\\.\\d+");
            Path tee = hosts.directory.resolve("g.tee");
            a.remus(
                    RemusRequest.of("g", "127.0.0.1:" + b.port())
                            .withDeadline(50, TestHosts.DEADLINE_MILLIS)
                            .withPlain(true)
                            .withTee(tee.toString()),
                    ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 10);
            assertThat(a.unprotect("g").role()).isEqualTo(Role.UNPROTECTED);
            try (FileChannel stream = FileChannel.open(tee)) {
                StreamVerdict verdict = StreamVerifier.verify(stream, ReaderOptions.PLAIN);
                assertThat(verdict.deviation()).isEmpty();
                assertThat(verdict.checkpoints()).isGreaterThanOrEqualTo(10);
                assertThat(verdict.pages()).isGreaterThanOrEqualTo(64L << 8);
            }
        }
    }

    @Test
    void unknown_names_and_nodes_are_one_clear_line() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            assertThatThrownBy(() -> a.status("nobody"))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("no domain \"nobody\"");
            a.create(hosts.firmwareGuest("g"));
            assertThatThrownBy(() -> a.create(hosts.firmwareGuest("g")))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("already");
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.remus("g", a, ArbiterKind.NONE),
                                            ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("its own peer");
            DomainStatus after = a.status("g");
            assertThat(after.role()).isEqualTo(Role.UNPROTECTED);
            assertThat(after.state()).isEqualTo(State.RUNNING);
        }
    }

    static DomainStatus await(NodeApi node, String domain, Predicate<DomainStatus> condition)
            throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (true) {
            DomainStatus status = node.status(domain);
            if (condition.test(status)) {
                return status;
            }
            if (System.nanoTime() - until > 0) {
                throw new AssertionError("not within 30 s: " + status);
            }
            // Figures, such as counts of epochs, change without a word.
            node.awaitChange(domain, status.change(), 20);
        }
    }
}
