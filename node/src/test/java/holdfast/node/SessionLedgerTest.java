package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.wire.link.Standing;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;

class SessionLedgerTest {
    @TempDir private Path directory;
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
        ledger = new SessionLedger(directory);
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
        assertThat(new SessionLedger(directory).get(entry.session()))
                .contains(entry.with(Standing.TOOK_OVER, 5));
        ledger.put(entry.with(Standing.DISCARDED, 10));
        assertThat(ledger.get(entry.session())).contains(entry.with(Standing.DISCARDED, 10));
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
}
