package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateRequest.Compress;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.ProtectionStatus;
import holdfast.node.link.FrameProxy;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Checkpoints in compressed frames, of a guest that knows every word of a part of its memory and
 * compares and rewrites it without an end, and what becomes of it when its host dies. Hosts are
 * network namespaces, so that the link can be made slow.
 */
@Tag("qemu")
@Timeout(240)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RemusCompressionTest {
    private static final int SLOW_MEGABITS = 10;
    private static final int INTERVAL_MILLIS = 25;
    private static final int CHECKPOINTS = 100;

    /** Few: what shrinks is the device state. */
    private static final int PAGES = 16;

    private Cable cable;
    private MigratingPair pair;
    private Path console;

    /** Of a session's checkpoints. */
    private record Rate(double bytesEach, double perSecond) {}

    @BeforeAll
    void start() throws Exception {
        cable = new Cable();
        pair =
                new MigratingPair(
                        hosts -> cable.site(Cable.End.A, hosts),
                        hosts -> cable.site(Cable.End.B, hosts),
                        Cable.End.A.here(),
                        Cable.End.B.here());
        console = pair.hosts.directory.resolve("console.log");
    }

    @AfterEach
    void clear() throws Exception {
        pair.clear();
        Files.deleteIfExists(console);
        cable.unbound(Cable.End.A);
    }

    @AfterAll
    void close() throws IOException {
        try (Cable _ = cable;
                MigratingPair _ = pair) {}
    }

    private void create() throws Exception {
        pair.a.client().create(MigrationMemoryTest.guest(pair.hosts, console, PAGES));
        MigrationMemoryTest.awaitVerdicts(console, 0);
    }

    @Test
    void a_survivor_of_compressed_checkpoints_finds_its_memory_whole() throws Exception {
        create();
        pair.protect(Compress.ZSTD, INTERVAL_MILLIS);
        rate("zstd, fast link");
        survive();
    }

    @Test
    void on_a_slow_link_auto_compresses_and_its_survivor_finds_its_memory_whole() throws Exception {
        create();
        pair.protect(Compress.NONE, INTERVAL_MILLIS);
        cable.bound(Cable.End.A, SLOW_MEGABITS);
        Rate plain = rate("none, " + SLOW_MEGABITS + " Mbit/s");
        pair.a.client().unprotect("g");
        cable.unbound(Cable.End.A);
        pair.protect(Compress.AUTO, INTERVAL_MILLIS);
        Rate fast = rate("auto, fast link");
        cable.bound(Cable.End.A, SLOW_MEGABITS);
        rate("auto, at first");
        Rate packed = rate("auto, " + SLOW_MEGABITS + " Mbit/s");
        assertThat(packed.bytesEach()).isLessThan(plain.bytesEach() * 0.8);
        assertThat(packed.perSecond()).isGreaterThan(plain.perSecond() * 1.2);
        assertThat(fast.bytesEach()).isGreaterThan(packed.bytesEach());
        survive();
    }

    /** As where {@code /tmp} is mounted {@code noexec}. */
    @Test
    void a_node_that_may_not_run_the_library_gets_and_sends_streams_as_they_are() throws Exception {
        create();
        Path nothingRuns = Files.createDirectory(pair.hosts.directory.resolve("noexec"));
        TestDaemon.Site there = cable.site(Cable.End.B, pair.hosts);
        List<String> within = new ArrayList<>(there.within());
        within.addAll(
                List.of(
                        "sh",
                        "-c",
                        "mount -t tmpfs -o noexec hf-noexec %1$s && JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=%1$s exec \"$@\""
                                .formatted(nothingRuns),
                        "sh"));
        try (TestDaemon c =
                        new TestDaemon(
                                pair.hosts,
                                "c",
                                new TestDaemon.Site(there.address(), within, there.ram(), ""));
                FrameProxy proxy = new FrameProxy(Cable.End.A.here(), c.start().address())) {
            String node = Cable.End.A.here() + ":" + proxy.port();
            assertThatThrownBy(() -> pair.protect(node, Compress.ZSTD, INTERVAL_MILLIS))
                    .hasMessageContaining("cannot unpack compressed pages");
            // At once: it may still be at what was refused.
            pair.protect(node, Compress.AUTO, INTERVAL_MILLIS);
            rate("auto, not unpacked");
            pair.a.client().unprotect("g");
            migratesWithoutTheLibrary(c, node);
        }
    }

    /** There and back: c can neither unpack nor pack. */
    private void migratesWithoutTheLibrary(TestDaemon c, String node) throws Exception {
        try (FrameProxy back = new FrameProxy(Cable.End.B.here(), pair.a.address())) {
            String here = Cable.End.B.here() + ":" + back.port();
            refusesAndThenMoves(pair.a, node, "cannot unpack compressed pages");
            assertThat(MigratingPair.runs(c.client())).isTrue();
            refusesAndThenMoves(c, here, "this node cannot compress");
            assertThat(MigratingPair.runs(pair.a.client())).isTrue();
        }
    }

    /** The second attempt comes at once. */
    private static void refusesAndThenMoves(TestDaemon from, String node, String words) {
        MigrateRequest request = MigrateRequest.of("g", node);
        assertThatThrownBy(
                        () ->
                                from.client()
                                        .migrate(
                                                request.withCompress(Compress.ZSTD),
                                                ProgressListener.none()))
                .hasMessageContaining(words);
        assertThat(MigratingPair.runs(from.client())).isTrue();
        MigrateResult moved =
                from.client().migrate(request.withCompress(Compress.AUTO), ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
    }

    private void survive() throws Exception {
        pair.kill(MigratingPair.Victim.SOURCE_DAEMON);
        pair.kill(MigratingPair.Victim.SOURCE_QEMU);
        MigratingPair.await("the survivor", () -> MigratingPair.runs(pair.b.client()));
        // The first verdict may be of a pass that began before.
        MigrationMemoryTest.awaitVerdicts(console, MigrationMemoryTest.verdicts(console).size());
    }

    /** Over the next checkpoints. */
    private Rate rate(String what) throws InterruptedException {
        ProtectionStatus first = status();
        long begun = System.nanoTime();
        MigratingPair.await(
                CHECKPOINTS + " checkpoints",
                () -> status().epochsCommitted() >= first.epochsCommitted() + CHECKPOINTS);
        ProtectionStatus last = status();
        double count = last.epochsCommitted() - first.epochsCommitted();
        Rate rate =
                new Rate(
                        (last.linkBytes() - first.linkBytes()) / count,
                        count * 1e9 / (System.nanoTime() - begun));
        System.out.printf(
                Locale.ROOT,
                "REMUS %s: %.0f bytes a checkpoint, %.1f checkpoints a second%n",
                what,
                rate.bytesEach(),
                rate.perSecond());
        return rate;
    }

    private ProtectionStatus status() {
        DomainStatus status = pair.a.client().status("g");
        assertThat(status.protection()).as(status.lastEvent().text()).isNotNull();
        return status.protection();
    }
}
