package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.ApiClient;
import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.ProgressListener;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Hosts that do not share their images: what moves is found out, and what is struck lives on.
 * {@code -Dholdfast.kills=all} for every blow in both places.
 */
@Tag("qemu")
@Timeout(240)
class MigrationApartTest {
    private static final boolean ALL = "all".equals(System.getProperty("holdfast.kills"));

    /** On a: {@code images/g.img}, which b does not see, and perhaps other disks. */
    private static DiskGuest guest(ApartHosts apart, int grownMib, Path... others)
            throws Exception {
        DiskGuest plain = DiskGuest.in(apart.hosts, "g");
        plain.grow(grownMib);
        Path own = apart.own("a").resolve("g.img");
        Files.move(plain.image(), own);
        List<Path> disks = new ArrayList<>(List.of(apart.images.resolve("g.img")));
        disks.addAll(List.of(others));
        return new DiskGuest(
                new DomainSource(
                        plain.source().file(),
                        plain.source()
                                .yaml()
                                .replace("disks: [" + plain.image() + "]", "disks: " + disks)),
                own,
                plain.serial());
    }

    private static Path shared(ApartHosts apart) throws Exception {
        Path shared = apart.hosts.directory.resolve("shared.img");
        try (RandomAccessFile file = new RandomAccessFile(shared.toFile(), "rw")) {
            file.setLength(4 << 20);
        }
        return shared;
    }

    @Test
    void what_is_not_shared_is_copied_without_being_asked_for_there_and_back() throws Exception {
        try (ApartHosts apart = new ApartHosts()) {
            DiskGuest guest = guest(apart, 8, shared(apart));
            apart.a.client().create(guest.source());
            guest.awaitWrites();
            Path onA = apart.own("a").resolve("g.img");
            Path onB = apart.own("b").resolve("g.img");
            MigrationTest.hook(
                    apart.hosts,
                    "same",
                    "[ $1 = deinit ] || cmp " + onA + " " + onB + " || exit 1");
            for (int i = 0; i < 4; i++) {
                boolean out = i % 2 == 0;
                ApiClient from = out ? apart.a.client() : apart.b.client();
                ApiClient to = out ? apart.b.client() : apart.a.client();
                MigrateResult moved =
                        from.migrate(
                                MigrateRequest.of(
                                                "g", out ? apart.addressOfB() : apart.addressOfA())
                                        .withFeatures(List.of("hook:same"), List.of()),
                                ProgressListener.none());
                assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
                assertThat(moved.migration().disks())
                        .extracting(MigrationStatus.Disk::index)
                        .containsExactly(0);
                assertThat(to.status("g").disks())
                        .extracting(DomainStatus.Disk::path)
                        .containsExactly(
                                apart.images.resolve("g.img").toString(),
                                apart.hosts.directory.resolve("shared.img").toString());
                guest.requirePattern(out ? onA : onB);
                guest.awaitWrites();
            }
            assertThat(MigrationApartTest.refused(apart))
                    .contains("is not that of the source")
                    .contains("without --storage shared it is copied");
            apart.a.client().destroy("g");
            guest.requirePattern(onA);
        }
    }

    private static String refused(ApartHosts apart) {
        try {
            return "moved: "
                    + apart.a
                            .client()
                            .migrate(
                                    MigrateRequest.of("g", apart.addressOfB())
                                            .withStorage(MigrateRequest.Storage.SHARED),
                                    ProgressListener.none());
        } catch (ApiException e) {
            return e.getMessage();
        }
    }

    enum Blow {
        CABLE_PULLED,
        SOURCE_DAEMON,
        DESTINATION_DAEMON,
        SOURCE_QEMU,
        DESTINATION_QEMU
    }

    /** Its disk is copied whole by then, its mirror ended, and the guest stands still. */
    static List<Blow> blowsInThePause() {
        return ALL ? List.of(Blow.values()) : List.of(Blow.SOURCE_DAEMON);
    }

    static List<Blow> blowsWhileCopying() {
        return ALL ? List.of(Blow.values()) : List.of(Blow.CABLE_PULLED);
    }

    @ParameterizedTest
    @MethodSource("blowsInThePause")
    void struck_while_features_come_up_it_goes_on_and_the_second_attempt_moves_it(Blow blow)
            throws Exception {
        try (ApartHosts apart = new ApartHosts()) {
            Path begun = apart.hosts.directory.resolve("begun");
            MigrationTest.hook(
                    apart.hosts,
                    "slow",
                    "[ $1 = deinit ] || [ -e %s ] || { touch %s; sleep 4; }"
                            .formatted(begun, begun));
            // A shared disk's lock is with b's QEMU by now: while that lives without its daemon, a
            // cannot go on. So b's daemon is struck without one.
            DiskGuest guest =
                    blow == Blow.DESTINATION_DAEMON
                            ? guest(apart, 8)
                            : guest(apart, 8, shared(apart));
            long pid = apart.a.client().create(guest.source()).pid();
            guest.awaitWrites();
            CompletableFuture<MigrateResult> moving =
                    CompletableFuture.supplyAsync(
                            () ->
                                    apart.a
                                            .client()
                                            .migrate(
                                                    request(apart, 0)
                                                            .withFeatures(
                                                                    List.of("hook:slow"),
                                                                    List.of()),
                                                    ProgressListener.none()));
            await("the hook", () -> Files.exists(begun));
            struck(apart, blow, pid, guest, moving);
        }
    }

    @ParameterizedTest
    @MethodSource("blowsWhileCopying")
    void struck_while_disks_are_copied_it_goes_on_and_the_second_attempt_moves_it(Blow blow)
            throws Exception {
        try (ApartHosts apart = new ApartHosts()) {
            DiskGuest guest = guest(apart, 48);
            long pid = apart.a.client().create(guest.source()).pid();
            guest.awaitWrites();
            CompletableFuture<MigrateResult> moving =
                    CompletableFuture.supplyAsync(
                            () ->
                                    apart.a
                                            .client()
                                            .migrate(request(apart, 12), ProgressListener.none()));
            await("the copy", () -> copiedBytes(apart.a.client()) > 8 << 20);
            struck(apart, blow, pid, guest, moving);
        }
    }

    private static void struck(
            ApartHosts apart,
            Blow blow,
            long pid,
            DiskGuest guest,
            CompletableFuture<MigrateResult> moving)
            throws Exception {
        strike(apart, blow, pid);
        String result =
                moving.handle(
                                (ended, failure) ->
                                        failure == null
                                                ? ended.outcome() + ": " + ended.reason()
                                                : String.valueOf(failure.getCause()))
                        .get(60, TimeUnit.SECONDS);
        System.out.println("blow " + blow + " result " + result);
        assertThat(result).doesNotContain("moved:");
        mend(apart, blow);
        await("b to be clear", () -> apart.b.client().list().isEmpty());
        if (blow == Blow.SOURCE_QEMU) {
            await("the end", () -> apart.a.client().status("g").state() == State.ENDED);
            guest.requirePattern(guest.image());
            return;
        }
        await("the guest on a", () -> apart.a.client().status("g").state() == State.RUNNING);
        guest.awaitWrites();
        MigrateResult moved = apart.a.client().migrate(request(apart, 0), ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        guest.awaitWrites();
        guest.requirePattern(guest.image());
        apart.b.client().destroy("g");
        guest.requirePattern(apart.own("b").resolve("g.img"));
    }

    private static MigrateRequest request(ApartHosts apart, long mibPerSecond) {
        return MigrateRequest.of("g", apart.addressOfB())
                .withBandwidth(mibPerSecond)
                .withDeadline(100, 1000);
    }

    private static void strike(ApartHosts apart, Blow blow, long pid) throws Exception {
        switch (blow) {
            case CABLE_PULLED -> apart.cut();
            case SOURCE_DAEMON -> apart.a.kill();
            case DESTINATION_DAEMON -> apart.b.kill();
            case SOURCE_QEMU -> ProcessHandle.of(pid).orElseThrow().destroyForcibly();
            case DESTINATION_QEMU -> waiting(apart).destroyForcibly();
        }
    }

    private static void mend(ApartHosts apart, Blow blow) throws Exception {
        switch (blow) {
            case CABLE_PULLED -> apart.mend();
            case SOURCE_DAEMON -> apart.a.start();
            case DESTINATION_DAEMON -> apart.b.start();
            case SOURCE_QEMU, DESTINATION_QEMU -> {}
        }
    }

    /** The QEMU that waits on b: no status tells its process. */
    private static ProcessHandle waiting(ApartHosts apart) throws Exception {
        try (Stream<Path> files = Files.walk(apart.hosts.directory.resolve("b").resolve("run"))) {
            Path pid = files.filter(f -> f.endsWith("qemu.pid")).findFirst().orElseThrow();
            return ProcessHandle.of(Long.parseLong(Files.readString(pid).strip())).orElseThrow();
        }
    }

    private static long copiedBytes(ApiClient node) {
        MigrationStatus migration = node.status("g").migration();
        return migration == null || !migration.phase().equals("disks")
                ? 0
                : migration.disks().getFirst().copiedBytes();
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void await(String what, Condition condition) throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!condition.holds()) {
            if (System.nanoTime() - until > 0) {
                throw new AssertionError("not within 60 s: " + what);
            }
            Thread.sleep(20);
        }
    }
}
