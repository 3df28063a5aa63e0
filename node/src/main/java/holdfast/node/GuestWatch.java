package holdfast.node;

import holdfast.engine.remus.PrimaryEvent;
import holdfast.engine.remus.PrimaryOutcome;
import holdfast.node.session.RemusPrimary;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.qmp.QmpEvent;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;

/** Notices that a domain's QEMU ends, and tells apart a guest that shut down from a death. */
final class GuestWatch {
    private static final Logger LOG = LoggerFactory.getLogger(GuestWatch.class);

    /** An ending closes a link and joins its threads, each with a deadline of seconds. */
    private static final Duration SESSION_LIMIT = Duration.ofSeconds(60);

    private final Registry registry;
    private final HostedDomain domain;
    private final AtomicReference<PrimaryOutcome.Ending> ending =
            new AtomicReference<>(PrimaryOutcome.Ending.DIED);
    private final AtomicReference<String> reason =
            new AtomicReference<>("its QEMU process died unexpectedly");

    private GuestWatch(Registry registry, HostedDomain domain) {
        this.registry = registry;
        this.domain = domain;
    }

    /** Watches until QEMU is gone or its monitor closed by us. */
    static void begin(Registry registry, HostedDomain domain, QemuDomain qemu) {
        GuestWatch watch = new GuestWatch(registry, domain);
        qemu.qmp().subscribe(watch::onEvent);
        qemu.onDeath(watch::onDeath);
    }

    /** On the monitor's thread. */
    private void onEvent(QmpEvent event) {
        if (!event.name().equals("SHUTDOWN")) {
            return;
        }
        String why = event.data().path("reason").asText();
        if (event.data().path("guest").asBoolean()) {
            ending.set(PrimaryOutcome.Ending.SHUT_DOWN);
            reason.set("the guest shut down (" + why + ")");
        } else if (ending.get() != PrimaryOutcome.Ending.SHUT_DOWN) {
            // A host that goes down does this, too: the guest is to live.
            reason.set("its QEMU process was told to end (" + why + ")");
        }
    }

    /** On the monitor's thread: it must not block, so the cleaning up happens elsewhere. */
    private void onDeath() {
        domain.migration()
                .filter(migration -> !migration.over())
                .ifPresent(migration -> migration.domainEnded(reason.get()));
        Optional<RemusPrimary> told = tellSession();
        Thread.ofVirtual().name("ended-" + domain.name()).start(() -> settle(told));
    }

    private Optional<RemusPrimary> tellSession() {
        if (domain.view().session() instanceof HostedDomain.Session.Primary(var session, boolean _)
                && session.outcome().isEmpty()
                && session.fault().isEmpty()) {
            session.post(new PrimaryEvent.DomainEnded(reason.get(), ending.get()));
            return Optional.of(session);
        }
        return Optional.empty();
    }

    /**
     * A session that was about to end, or that ended by a fault, does not handle what it is told:
     * whoever of all is last sees to it that nobody takes the domain for a live one. Its memory
     * stays mapped for as long as a session or an operation may use it.
     */
    private void settle(Optional<RemusPrimary> told) {
        try {
            if (told.isPresent() && !told.get().awaitEnd(SESSION_LIMIT)) {
                LOG.error(
                        "event=session-hangs domain={} state={} next=\"its process has ended;"
                                + " restart the daemon\"",
                        domain.name(),
                        told.get().state());
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return;
        }
        domain.operation.lock();
        try {
            HostedDomain.View view = domain.view();
            if (view.isLive() && view.body().isPresent()) {
                registry.ended(domain, reason.get());
            }
        } finally {
            domain.operation.unlock();
        }
    }
}
