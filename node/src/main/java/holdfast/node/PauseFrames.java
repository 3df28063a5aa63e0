package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.InboundFrames;
import holdfast.node.link.LateFrames;
import holdfast.node.link.NodeAddress;
import holdfast.node.link.NodeIdentity;
import holdfast.qemu.domain.GuestNic;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.net.Decoys;
import holdfast.qemu.net.InboundReplay;
import holdfast.qemu.net.TapQueues;
import holdfast.wire.ProtocolException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * What the network sends to a guest in the pause of a migration goes after it, so that its peers
 * need not send it again. Everything here is only an optimisation: what fails is logged, and costs
 * a retransmission.
 */
final class PauseFrames {
    private static final Logger LOG = LoggerFactory.getLogger(PauseFrames.class);

    /** Guests whose frames may still come: the newest so many that have arrived here. */
    private static final int ARRIVALS_MAX = 16;

    private static final Duration LIMIT = Duration.ofSeconds(2);

    /** By migration, the oldest first. Guarded by itself. */
    private final Map<UUID, Expected> arrivals = new LinkedHashMap<>();

    /** A guest that runs here. */
    private record Arrived(QemuDomain domain, Path sockets) {}

    /**
     * A guest on its way here.
     *
     * @param asked whether its frames have come
     */
    private record Expected(CompletableFuture<Arrived> guest, AtomicBoolean asked) {}

    /** A guest is on its way here; the other side may ask as soon as it has been handed over. */
    void expect(UUID migration) {
        synchronized (arrivals) {
            arrivals.put(migration, new Expected(new CompletableFuture<>(), new AtomicBoolean()));
            if (arrivals.size() > ARRIVALS_MAX) {
                arrivals.remove(arrivals.keySet().iterator().next());
            }
        }
    }

    void arrived(UUID migration, QemuDomain domain, Path sockets) {
        synchronized (arrivals) {
            Optional.ofNullable(arrivals.get(migration))
                    .ifPresent(expected -> expected.guest().complete(new Arrived(domain, sockets)));
        }
    }

    /** Nothing more is expected for it. */
    void doesNotCome(UUID migration) {
        synchronized (arrivals) {
            arrivals.remove(migration);
        }
    }

    /** Where frames of that migration's pause go, once; empty where nothing is known of it. */
    Optional<Consumer<InboundFrames>> sink(UUID migration) {
        synchronized (arrivals) {
            return Optional.ofNullable(arrivals.get(migration))
                    .filter(expected -> !expected.asked().getAndSet(true))
                    .map(expected -> frames -> replay(migration, expected.guest(), frames));
        }
    }

    private void replay(UUID migration, CompletableFuture<Arrived> expected, InboundFrames frames) {
        try {
            Arrived guest = expected.get(LIMIT.toMillis(), TimeUnit.MILLISECONDS);
            try (InboundReplay replay =
                    InboundReplay.attach(
                            guest.domain().qmp(),
                            guest.domain().nics().stream().map(GuestNic::filterEnd).toList(),
                            guest.sockets())) {
                replay.replay(frames, LIMIT);
                replay.detach();
            }
            LOG.info("event=pause-frames-replayed frames={}", frames.frames().size());
        } catch (HypervisorException | IllegalArgumentException | TimeoutException e) {
            LOG.info(
                    "event=pause-frames-lost frames={} reason=\"{}\"",
                    frames.frames().size(),
                    e.toString());
        } catch (ExecutionException e) {
            throw new IllegalStateException("nobody fails it", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            doesNotCome(migration);
        }
    }

    /** The first frame of each tap in the pause is one of these, and none of the guest's. */
    static Decoys decoys(QemuDomain domain, DomainSpec spec) {
        return Decoys.prepare(domain.qemu().process().pid(), taps(spec).keySet());
    }

    private static Map<String, Integer> taps(DomainSpec spec) {
        Map<String, Integer> taps = new HashMap<>();
        for (int i = 0; i < spec.nics().size(); i++) {
            if (spec.nics().get(i) instanceof DomainSpec.TapNic(String _, String tap, var _)) {
                taps.put(tap, i);
            }
        }
        return taps;
    }

    /**
     * Takes out of a guest's taps what came in its pause, and sends it after the guest on a thread
     * of its own. The guest here must never run again.
     */
    static void forward(
            QemuDomain left, DomainSpec spec, NodeAddress to, NodeIdentity self, UUID migration) {
        Map<String, Integer> taps = taps(spec);
        if (taps.isEmpty()) {
            return;
        }
        InboundFrames frames;
        try {
            frames = TapQueues.take(left.qemu().process().pid(), taps);
        } catch (HypervisorException e) {
            LOG.info("event=pause-frames-lost reason=\"{}\"", e.getMessage());
            return;
        }
        if (frames.frames().isEmpty()) {
            return;
        }
        Thread.ofVirtual()
                .name("pause-frames")
                .start(
                        () -> {
                            try {
                                LateFrames.send(to, self, migration, frames);
                                LOG.info(
                                        "event=pause-frames-sent peer={} frames={}",
                                        to,
                                        frames.frames().size());
                            } catch (IOException | ProtocolException e) {
                                LOG.info(
                                        "event=pause-frames-lost peer={} frames={} reason=\"{}\"",
                                        to,
                                        frames.frames().size(),
                                        e.getMessage());
                            }
                        });
    }
}
