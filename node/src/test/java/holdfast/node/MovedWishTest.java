package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;
import holdfast.node.api.ReprotectionStatus;
import holdfast.node.link.FrameProxy;
import holdfast.wire.link.ConnectionKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** The wish that a domain stay protected, where it moves. */
@Tag("qemu")
@Timeout(120)
class MovedWishTest {
    private static MigrateRequest to(Node node) {
        return MigrateRequest.of("g", address(node));
    }

    private static String address(Node node) {
        return "127.0.0.1:" + node.port();
    }

    /** On {@code a}, protected by {@code b} and to stay so. */
    private static DomainStatus createdAndStaying(TestHosts hosts, Node a, Node b) {
        a.create(hosts.firmwareGuest("g"));
        return a.remus(
                TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()), ProgressListener.none());
    }

    private static DomainStatus awaitProtected(Node node, String peer) throws Exception {
        return await(
                node,
                "g",
                s ->
                        s.role() == Role.PRIMARY
                                && s.reprotection().state() == ReprotectionStatus.State.PROTECTED
                                && s.protection().peer().equals(peer));
    }

    @Test
    void a_protected_domain_is_protected_again_by_its_new_node_as_the_operator_named_them()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            Node c = hosts.start("c");
            createdAndStaying(hosts, a, b);
            MigrateResult moved = a.migrate(to(c), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            assertThat(c.status("g").state()).isEqualTo(State.RUNNING);
            DomainStatus left = a.status("g");
            assertThat(left.state()).isEqualTo(State.ENDED);
            DomainStatus onC = awaitProtected(c, "b");
            assertThat(onC.reprotection().candidates()).containsExactly(address(b), address(a));
            await(a, "g", s -> s.reprotection().state() == ReprotectionStatus.State.OFF);

            // What the old node forgot the new one has written down.
            Path wish = Path.of("domains", "g", "wish.json");
            assertThat(hosts.directory.resolve("a").resolve(wish)).doesNotExist();
            assertThat(hosts.directory.resolve("c").resolve(wish))
                    .content()
                    .contains(address(b), address(a));
            c.unprotect("g");
        }
    }

    @Test
    void moved_to_its_secondary_it_is_protected_by_its_old_node_and_back() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            createdAndStaying(hosts, a, b);
            MigrateResult there = a.migrate(to(b), ProgressListener.none());
            assertThat(there.outcome()).as(there.reason()).isEqualTo("moved");
            DomainStatus onB = awaitProtected(b, "a");
            assertThat(onB.reprotection().candidates()).containsExactly(address(a));
            assertThat(a.status("g").role()).isEqualTo(Role.SECONDARY);

            MigrateResult back = b.migrate(to(a), ProgressListener.none());
            assertThat(back.outcome()).as(back.reason()).isEqualTo("moved");
            assertThat(awaitProtected(a, "b").reprotection().candidates())
                    .containsExactly(address(b));
        }
    }

    @Test
    void a_domain_that_only_looks_for_a_node_takes_its_wish_along() throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            Node c = hosts.start("c");
            b.start();
            a.create(hosts.firmwareGuest("g"));
            a.remus(TestHosts.staying("g", ArbiterKind.NONE, b.port()), ProgressListener.none());
            b.kill();
            await(a, "g", s -> s.role() == Role.UNPROTECTED && s.reprotection().attempts() >= 2);
            MigrateResult moved = a.migrate(to(c), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            // The old node is the last one that is asked, and the only one that is there.
            assertThat(awaitProtected(c, "a").reprotection().candidates())
                    .containsExactly("127.0.0.1:" + b.port(), address(a));
        }
    }

    @Test
    void one_that_is_not_moved_keeps_its_wish_and_is_protected_again_where_it_is()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            Node c = hosts.start("c");
            MigrationTest.hook(hosts, "no", "[ $1 = deinit ] || exit 7");
            DomainStatus first = createdAndStaying(hosts, a, b);
            MigrateResult stayed =
                    a.migrate(
                            to(c).withFeatures(List.of("hook:no"), List.of()),
                            ProgressListener.none());
            assertThat(stayed.outcome()).isEqualTo("stayed");
            DomainStatus again = awaitProtected(a, "b");
            assertThat(again.pid()).isEqualTo(first.pid());
            assertThat(again.reprotection().candidates()).containsExactly(address(b));
            MigratingPair.await("nothing on c", () -> c.list().isEmpty());
        }
    }

    @Test
    void protection_does_not_end_for_a_move_that_cannot_begin() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            createdAndStaying(hosts, a, b);
            String session = a.status("g").protection().protectedSince();
            for (String nowhere : List.of("127.0.0.1:1", address(a))) {
                assertThatThrownBy(
                                () ->
                                        a.migrate(
                                                MigrateRequest.of("g", nowhere),
                                                ProgressListener.none()))
                        .isInstanceOf(ApiException.class);
            }
            assertThat(a.status("g").protection().protectedSince()).isEqualTo(session);
            a.unprotect("g");

            a.remus(TestHosts.remus("g", b, ArbiterKind.OPERATOR), ProgressListener.none());
            assertThatThrownBy(() -> a.migrate(to(b), ProgressListener.none()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("is protected, once");
            assertThat(a.status("g").role()).isEqualTo(Role.PRIMARY);
        }
    }

    private static void refused(Node node, MigrateRequest request, String... words) {
        assertThatThrownBy(() -> node.migrate(request, ProgressListener.none()))
                .isInstanceOf(ApiException.class)
                .satisfies(e -> assertThat(e).hasMessageContainingAll(words));
    }

    @Test
    void what_the_destination_would_refuse_is_refused_while_protection_lasts() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            Node c = hosts.startWithoutReplicaDirectory("c");
            Path images = Files.createDirectory(hosts.directory.resolve("images"));
            Path image = Files.write(images.resolve("g.img"), new byte[1 << 20]);
            a.create(hosts.guestWith("g", "disks: [" + image + "]"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                    ProgressListener.none());
            String since = a.status("g").protection().protectedSince();

            refused(
                    a,
                    to(c).withFeatures(List.of("hook:absent"), List.of()),
                    "required feature hook:absent on node c",
                    "does not exist");
            refused(
                    a,
                    to(c).withStorage(MigrateRequest.Storage.COPY),
                    "one and the same on both nodes");
            c.create(hosts.firmwareGuest("g"));
            refused(a, to(c), "already");
            c.destroy("g");

            DomainStatus still = a.status("g");
            assertThat(still.role()).isEqualTo(Role.PRIMARY);
            assertThat(still.protection().protectedSince()).isEqualTo(since);
            assertThat(c.list()).isEmpty();
            assertThat(images).isDirectoryNotContaining("glob:**.holdfast-*");

            MigrateResult moved = a.migrate(to(c), ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            awaitProtected(c, "b");
            c.unprotect("g");
        }
    }

    @Test
    void the_room_of_its_replica_is_room_for_the_domain() throws Exception {
        try (TestHosts hosts = new TestHosts();
                SmallFileSystem small =
                        SmallFileSystem.mount(hosts.directory.resolve("small"), 112 << 20);
                TestDaemon b =
                        new TestDaemon(
                                hosts,
                                "b",
                                new TestDaemon.Site("127.0.0.1", List.of(), small.root(), ""))) {
            Node a = hosts.start("a");
            b.start();
            a.create(hosts.firmwareGuest("g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                    ProgressListener.none());
            MigrateResult moved =
                    a.migrate(
                            MigrateRequest.of("g", "127.0.0.1:" + b.port()),
                            ProgressListener.none());
            assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
            b.client().destroy("g");
        }
    }

    /**
     * Nobody has said that the copy there is dead: that the domain was to leave is no such word.
     */
    @Test
    void a_secondary_that_is_lost_while_the_destination_is_asked_is_decided_by_the_operator()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b")) {
            Node a = hosts.start("a");
            Node c = hosts.start("c");
            b.start();
            a.create(hosts.firmwareGuest("g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, b.port()),
                    ProgressListener.none());
            try (FrameProxy proxy =
                    new FrameProxy("127.0.0.1", new InetSocketAddress("127.0.0.1", c.port()))) {
                proxy.arm(
                        new FrameProxy.Place(
                                ConnectionKind.MIGRATION,
                                FrameProxy.Way.BACK,
                                "MIGRATION_ACCEPTED",
                                0,
                                FrameProxy.Act.HOLD));
                CompletableFuture<Throwable> asked = TestHosts.migrating(a, "g", proxy.port());
                proxy.awaitReached();
                b.kill();
                await(a, "g", s -> s.protection().state().equals("deciding"));
                proxy.release();
                assertThat(asked.get(40, TimeUnit.SECONDS))
                        .isInstanceOf(ApiException.class)
                        .hasMessageContaining("its secondary was lost")
                        .hasMessageContaining("`holdfast unprotect` here now means");
            }
            DomainStatus undecided = a.status("g");
            assertThat(undecided.role()).isEqualTo(Role.PRIMARY);
            assertThat(undecided.protection().state()).isEqualTo("deciding");
            assertThat(undecided.protection().generation()).isZero();
            assertThat(c.list()).isEmpty();

            assertThat(a.unprotect("g").role()).isEqualTo(Role.UNPROTECTED);
        }
    }

    /** It has heard nothing of the end, and its daemon dies: who may go on only it can say. */
    @Test
    void a_secondary_that_is_lost_before_it_hears_that_protection_ends_keeps_the_domain_here()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b").start();
                FrameProxy proxy = new FrameProxy("127.0.0.1", b.address())) {
            Node a = hosts.start("a");
            Node c = hosts.start("c");
            a.create(hosts.firmwareGuest("g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.OPERATOR, proxy.port()),
                    ProgressListener.none());
            Throwable refusal = leaving(a, c, b, proxy).get(40, TimeUnit.SECONDS);
            assertThat(refusal)
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("its secondary was lost")
                    .hasMessageContaining("`holdfast unprotect` here now means");
            DomainStatus undecided = a.status("g");
            assertThat(undecided.role()).isEqualTo(Role.PRIMARY);
            assertThat(undecided.protection().state()).isEqualTo("deciding");
            assertThat(c.list()).isEmpty();

            // It never took over, and says so: the domain goes on here, and is protected again.
            b.start();
            awaitProtected(a, "b");
            assertThat(a.status("g").protection().generation()).isZero();
            a.unprotect("g");
        }
    }

    /** Where nobody is asked the domain goes on alone, and so it may move. */
    @Test
    void a_secondary_that_is_lost_so_without_an_arbiter_does_not_keep_it_from_moving()
            throws Exception {
        try (TestHosts hosts = new TestHosts();
                TestDaemon b = new TestDaemon(hosts, "b").start();
                FrameProxy proxy = new FrameProxy("127.0.0.1", b.address())) {
            Node a = hosts.start("a");
            Node c = hosts.start("c");
            a.create(hosts.firmwareGuest("g"));
            a.remus(
                    TestHosts.staying("g", ArbiterKind.NONE, proxy.port()),
                    ProgressListener.none());
            assertThat(leaving(a, c, b, proxy).get(40, TimeUnit.SECONDS)).isNull();
            assertThat(c.status("g").state()).isEqualTo(State.RUNNING);
            assertThat(a.status("g").state()).isEqualTo(State.ENDED);
            // Its secondary is still away.
            awaitProtected(c, "a");
            c.unprotect("g");
        }
    }

    /** Moves it from a to c; b dies before it hears that its session ends. */
    private static CompletableFuture<Throwable> leaving(
            Node a, Node c, TestDaemon b, FrameProxy proxy) throws Exception {
        proxy.arm(
                new FrameProxy.Place(
                        ConnectionKind.CONTROL,
                        FrameProxy.Way.THERE,
                        "DISMISS",
                        0,
                        FrameProxy.Act.HOLD));
        CompletableFuture<Throwable> moving = TestHosts.migrating(a, "g", c.port());
        proxy.awaitReached();
        b.kill();
        proxy.cut();
        // Whoever asks b later gets through.
        proxy.arm();
        return moving;
    }
}
