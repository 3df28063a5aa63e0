package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveRequest.After;
import holdfast.node.api.SaveResult;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamVerifier;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.io.RandomAccessFile;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Domains saved while they run, on real QEMU. */
@Tag("qemu")
@Timeout(240)
class SaveTest {
    @Test
    void a_guest_that_writes_is_saved_while_it_runs_and_runs_again_elsewhere_with_its_memory_whole()
            throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            WritingGuest guest = WritingGuest.in(hosts, "g", 4_096);
            a.create(guest.source());
            guest.awaitReady();
            guest.awaitChecks();
            Path file = hosts.directory.resolve("g.save");

            SaveResult running = save(a, file, After.CONTINUE);
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
            guest.awaitChecks();
            assertThat(running.rounds()).isPositive();
            // Every page is in the file at most once, however many rounds there were.
            assertThat(running.bytes()).isLessThan((WritingGuest.MEMORY_MIB << 20) + (16 << 20));
            requireVerified(file);

            SaveResult ended = save(a, file, After.END);
            assertThat(ended.finalPages()).isLessThan(ended.pages() / 2);
            assertThat(a.list()).isEmpty();
            requireVerified(file);

            b.restore(new RestoreRequest(file.toString(), "h"), ProgressListener.none());
            assertThat(b.status("h").state()).isEqualTo(State.RUNNING);
            guest.awaitChecks();

            b.pause("h");
            SaveResult paused = save(b, "h", file, After.PAUSE);
            assertThat(paused.rounds()).isZero();
            assertThat(b.status("h").state()).isEqualTo(State.PAUSED);
            requireVerified(file);
            b.unpause("h");
            guest.awaitChecks();
        }
    }

    @Test
    void a_save_that_is_cancelled_or_fails_leaves_the_guest_running_and_no_file() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            a.create(hosts.firmwareGuest("g"));
            Path file = hosts.directory.resolve("g.save");
            assertThatThrownBy(() -> a.cancelSave("g"))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("not being saved");
            Thread canceller = Thread.ofPlatform().unstarted(() -> a.cancelSave("g"));
            ProgressListener listener =
                    _ -> {
                        if (canceller.getState() == Thread.State.NEW) {
                            canceller.start();
                            awaitBlocked(canceller);
                        }
                    };
            assertThatThrownBy(
                            () ->
                                    a.save(
                                            new SaveRequest("g", file.toString(), After.END),
                                            listener))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("cancelled by the operator")
                    .hasMessageContaining("goes on here");
            assertThat(canceller.join(Duration.ofSeconds(10))).isTrue();
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);

            Path nowhere = hosts.directory.resolve("absent/g.save");
            assertThatThrownBy(() -> save(a, nowhere, After.END))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining("there is no directory");
            assertThatThrownBy(() -> save(a, hosts.directory, After.END))
                    .hasMessageContaining("is a directory");
            // A file that takes the place of a device would break more than this domain.
            assertThatThrownBy(() -> save(a, Path.of("/dev/null"), After.END))
                    .hasMessageContaining("a device, pipe or socket");
            assertThat(Files.isRegularFile(Path.of("/dev/null"))).isFalse();
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
            try (var left = Files.list(hosts.directory)) {
                assertThat(left).noneMatch(path -> path.toString().contains("g.save"));
            }
            assertThat(save(a, file, After.END).bytes()).isEqualTo(Files.size(file));
        }
    }

    /** It has said so, and waits for the end. */
    private static void awaitBlocked(Thread canceller) {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (canceller.getState() != Thread.State.WAITING) {
            if (System.nanoTime() - until > 0) {
                throw new AssertionError("the canceller is " + canceller.getState());
            }
            Thread.onSpinWait();
        }
    }

    @Test
    void what_is_not_there_is_refused_with_its_key_and_other_paths_may_be_said() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.start("a");
            Path image = Files.createDirectory(hosts.directory.resolve("here")).resolve("d.raw");
            try (RandomAccessFile disk = new RandomAccessFile(image.toFile(), "rw")) {
                disk.setLength(1 << 20);
            }
            DomainSource source =
                    hosts.guestWith("g", "disks: [{path: %s, format: raw}]".formatted(image));
            a.create(source);
            Path file = hosts.directory.resolve("g.save");
            save(a, file, After.END);
            Path there = Files.createDirectory(hosts.directory.resolve("there")).resolve("d.raw");
            Files.move(image, there);

            refused(a, new RestoreRequest(file.toString(), null), "disks[0].path");
            refused(
                    a,
                    new RestoreRequest(file.toString(), null, Map.of("/nowhere", there.toString())),
                    "not in the description");
            refused(
                    a,
                    new RestoreRequest(file.toString(), null, Map.of("here", "/x")),
                    "not absolute");
            a.restore(
                    new RestoreRequest(
                            file.toString(),
                            null,
                            Map.of(image.getParent().toString(), there.getParent().toString())),
                    ProgressListener.none());
            assertThat(a.status("g").state()).isEqualTo(State.RUNNING);
        }
    }

    private static void refused(Node node, RestoreRequest request, String words) {
        assertThatThrownBy(() -> node.restore(request, ProgressListener.none()))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining(words);
        assertThat(node.list()).isEmpty();
    }

    private static SaveResult save(Node node, Path file, After after) {
        return save(node, "g", file, after);
    }

    private static SaveResult save(Node node, String domain, Path file, After after) {
        SaveResult saved =
                node.save(new SaveRequest(domain, file.toString(), after), ProgressListener.none());
        System.out.println("saved " + saved);
        return saved;
    }

    private static void requireVerified(Path file) throws Exception {
        try (FileChannel stream = FileChannel.open(file)) {
            assertThat(StreamVerifier.verify(stream, ReaderOptions.PLAIN).deviation()).isEmpty();
        }
    }
}
