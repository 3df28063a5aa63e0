package holdfast.node;

import holdfast.node.api.DomainStatus;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.DomainStore;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.link.Standing;

import java.io.UncheckedIOException;
import java.util.Optional;
import java.util.Set;

/**
 * A guest that a new daemon meets suspended, in a domain that this node has alone. The daemon that
 * died may have stopped it for a moment, as a save does; then nobody else will let it go on.
 */
final class SuspendedGuest {
    /**
     * What QEMU says after {@code stop}, and after it has given its state. Everything else it does
     * by itself, and a person must know: a disk that fails, a guest that panicked.
     */
    private static final Set<String> AFTER_STOP = Set.of("paused", "postmigrate");

    private SuspendedGuest() {}

    /**
     * Why it stays suspended; empty: it is let run again.
     *
     * @param runtime where it is, as is decided by now
     * @param status QEMU's run state, before anything was done to it
     */
    static Optional<String> staysBecause(
            DomainStore.Stored<DomainSpec> stored,
            DomainRuntime runtime,
            String status,
            SessionLedger ledger) {
        return switch (stored.wanted()) {
            case PAUSED -> Optional.of("an operator has paused it");
            case RUNNING -> ofRunning(runtime, status, stored.name(), ledger);
        };
    }

    private static Optional<String> ofRunning(
            DomainRuntime runtime, String status, String name, SessionLedger ledger) {
        if (!AFTER_STOP.contains(status)) {
            return Optional.of("QEMU says \"" + status + "\", which no stop of ours is");
        }
        return switch (runtime.origin()) {
            case ATTACHED ->
                    Optional.of(
                            "whether the daemon that died suspended it or those who started its"
                                    + " QEMU is not known");
            case STARTED -> elsewhere(runtime, name, ledger);
        };
    }

    /** What another node may have taken over since does not run here. */
    private static Optional<String> elsewhere(
            DomainRuntime runtime, String name, SessionLedger ledger) {
        if (runtime.role() != DomainStatus.Role.UNPROTECTED
                && runtime.role() != DomainStatus.Role.SURVIVOR) {
            return Optional.of("it was " + runtime.role().text());
        }
        try {
            return ledger.newestAsPrimary(name)
                    .filter(
                            entry ->
                                    entry.standing() == Standing.UNDECIDED
                                            || entry.standing() == Standing.TOOK_OVER)
                    .filter(entry -> entry.generation() >= runtime.generation())
                    .map(
                            entry ->
                                    "node "
                                            + entry.peer()
                                            + " may have it, by session "
                                            + entry.session());
        } catch (UncheckedIOException e) {
            return Optional.of(e.getMessage());
        }
    }
}
