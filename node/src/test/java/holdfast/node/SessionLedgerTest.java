package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.store.FileSteps;
import holdfast.wire.link.Standing;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.UUID;
import java.util.stream.Stream;

class SessionLedgerTest {
    @TempDir private Path directory;
    @TempDir private Path taken;
    private SessionLedger ledger;
    private final SessionLedger.Entry entry =
            new SessionLedger.Entry(
                    UUID.randomUUID(),
                    "web",
                    SessionLedger.Side.SECONDARY,
                    Standing.UNDECIDED,
                    4,
                    "hostA",
                    "none",
                    25);

    @BeforeEach
    void open() throws IOException {
        ledger = ledger();
    }

    /** As a daemon that is started has it. */
    private SessionLedger ledger() throws IOException {
        return new SessionLedger(directory, taken);
    }

    /** As a full disk does: no second file can be made beside the first. */
    private void refuseNewFiles() throws IOException {
        Files.createDirectories(directory.resolve(entry.session() + ".new").resolve("in the way"));
    }

    @Test
    void a_take_over_is_remembered_where_no_new_file_can_be_made() throws Exception {
        ledger.put(entry);
        refuseNewFiles();
        ledger.put(entry.with(Standing.TOOK_OVER, 5));
        assertThat(ledger().get(entry.session())).contains(entry.with(Standing.TOOK_OVER, 5));
        ledger.put(entry.with(Standing.DISCARDED, 10));
        assertThat(ledger.get(entry.session())).contains(entry.with(Standing.DISCARDED, 10));
    }

    @Test
    void what_is_staged_holds_from_the_moment_it_is_taken() throws Exception {
        ledger.put(entry);
        SessionLedger.Staged staged = ledger.stage(entry.with(Standing.TOOK_OVER, 5));
        assertThat(ledger.get(entry.session())).contains(entry);
        ledger.take(staged);
        assertThat(ledger.get(entry.session())).contains(entry.with(Standing.TOOK_OVER, 5));
        // The daemon dies before it is committed.
        assertThat(ledger().get(entry.session())).contains(entry.with(Standing.TOOK_OVER, 5));
        assertThat(ledger().newestAsSecondary("web")).contains(entry.with(Standing.TOOK_OVER, 5));
        assertThat(taken).isEmptyDirectory();
    }

    @Test
    void what_was_taken_and_committed_holds_where_the_host_dies() throws Exception {
        ledger.put(entry);
        SessionLedger.Staged staged = ledger.stage(entry.with(Standing.TOOK_OVER, 5));
        ledger.take(staged);
        ledger.commit(staged);
        assertThat(taken).isEmptyDirectory();
        assertThat(ledger().get(entry.session())).contains(entry.with(Standing.TOOK_OVER, 5));
    }

    /** A disk on which one of these steps fails. */
    private enum Failure implements FileSteps {
        RENAME {
            @Override
            public void rename(Path from, Path to) throws IOException {
                throw new FileSystemException(to.toString(), null, "No space left on device");
            }
        },
        FORCE_DIRECTORY {
            @Override
            public void forceDirectory(Path directory) throws IOException {
                throw new IOException("Input/output error");
            }
        };

        @Override
        public void write(Path file, byte[] content) throws IOException {
            REAL.write(file, content);
        }

        @Override
        public void rename(Path from, Path to) throws IOException {
            REAL.rename(from, to);
        }

        @Override
        public void forceDirectory(Path directory) throws IOException {
            REAL.forceDirectory(directory);
        }
    }

    /** The guest runs by then: whatever becomes of its note, it is this node's. */
    @ParameterizedTest
    @EnumSource
    void what_was_taken_holds_where_it_cannot_be_committed(Failure failure) throws Exception {
        ledger.put(entry);
        SessionLedger.Entry tookOver = entry.with(Standing.TOOK_OVER, 5);
        SessionLedger.Staged staged = ledger.stage(tookOver);
        SessionLedger failing = new SessionLedger(directory, taken, failure);
        failing.take(staged);
        assertThatThrownBy(() -> failing.commit(staged))
                .isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining(entry.session().toString())
                .hasMessageContaining(
                        failure == Failure.RENAME ? "No space left" : "Input/output error");
        assertThat(failing.get(entry.session())).contains(tookOver);

        // Its daemon dies, and the next one finds the disk no better.
        SessionLedger next = new SessionLedger(directory, taken, failure);
        assertThat(next.get(entry.session())).contains(tookOver);
        assertThat(next.newestAsSecondary("web")).contains(tookOver);

        // The one after that does.
        SessionLedger mended = ledger();
        assertThat(mended.get(entry.session())).contains(tookOver);
        assertThat(taken).isEmptyDirectory();
        assertThat(ledger().newestAsSecondary("web")).contains(tookOver);
    }

    /** It may have run, or not: never TOOK_OVER on the disk, on the way to saying so. */
    @Test
    void what_was_taken_and_is_undecided_after_all_is_that_for_the_next_daemon() throws Exception {
        ledger.put(entry);
        SessionLedger.Staged staged = ledger.stage(entry.with(Standing.TOOK_OVER, 5));
        ledger.take(staged);
        SessionLedger.Entry undecided = entry.with(Standing.UNDECIDED, 5);
        ledger.put(undecided);
        // A daemon that dies here leaves one that was only taken, which is looked at once more.
        ledger.unstage(staged);
        assertThat(ledger.get(entry.session())).contains(undecided);
        assertThat(ledger().get(entry.session())).contains(undecided);
        assertThat(ledger().newestAsSecondary("web")).contains(undecided);
    }

    @Test
    void what_is_staged_when_the_host_dies_may_have_been_taken() throws Exception {
        ledger.put(entry);
        SessionLedger.Staged staged = ledger.stage(entry.with(Standing.TOOK_OVER, 5));
        assertThat(ledger.isStaged(entry)).isTrue();
        ledger.take(staged);
        // A memory file system is empty then.
        Files.delete(staged.taken());
        assertThat(ledger().get(entry.session())).contains(entry);
        assertThat(ledger().isStaged(entry)).isTrue();
    }

    @Test
    void what_came_to_another_end_is_not_staged_any_more() throws Exception {
        ledger.put(entry);
        SessionLedger.Staged staged = ledger.stage(entry.with(Standing.TOOK_OVER, 5));
        ledger.take(staged);
        ledger.unstage(staged);
        assertThat(ledger().get(entry.session())).contains(entry);
        SessionLedger.Entry discarded = entry.with(Standing.DISCARDED, 4);
        ledger.put(discarded);
        assertThat(ledger.isStaged(entry)).isFalse();
        assertThat(ledger().get(entry.session())).contains(discarded);
    }

    @Test
    void a_session_that_cannot_be_written_at_all_is_refused() throws Exception {
        refuseNewFiles();
        assertThatThrownBy(() -> ledger.put(entry))
                .isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining(entry.session().toString())
                .hasMessageContaining("make room there");
        assertThat(ledger.get(entry.session())).isEmpty();
    }

    @Test
    void old_sessions_are_forgotten_while_the_daemon_runs_but_never_an_undecided_one()
            throws IOException {
        ledger.put(entry);
        Files.setLastModifiedTime(
                directory.resolve(entry.session() + ".json"), FileTime.fromMillis(0));
        for (int i = 0; i < SessionLedger.ENTRIES_MAX + 200; i++) {
            ledger.put(discarded());
        }
        assertThat(files()).isLessThanOrEqualTo(SessionLedger.ENTRIES_MAX + 101);
        assertThat(ledger.get(entry.session())).contains(entry);
        assertThat(ledger().get(entry.session())).contains(entry);
    }

    @Test
    void a_session_that_never_was_leaves_nothing() throws IOException {
        ledger.put(entry);
        ledger.remove(entry.session());
        ledger.remove(entry.session());
        assertThat(files()).isZero();
        assertThat(ledger.newestAsSecondary("web")).isEmpty();
    }

    private static SessionLedger.Entry discarded() {
        return new SessionLedger.Entry(
                UUID.randomUUID(),
                "web",
                SessionLedger.Side.PRIMARY,
                Standing.DISCARDED,
                0,
                "hostB:7227",
                "none",
                25);
    }

    private long files() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.count();
        }
    }
}
