package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.InboundFrames;
import holdfast.node.api.ApiException;
import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.NodeInfo;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RestoreRequest;
import holdfast.node.api.SaveRequest;
import holdfast.node.api.SaveResult;
import holdfast.node.config.ConfigException;
import holdfast.node.config.DomainFile;
import holdfast.node.store.DomainRuntime;
import holdfast.node.store.StoreException;
import holdfast.qemu.disk.DiskNodes;
import holdfast.qemu.domain.GuestNic;
import holdfast.qemu.domain.QemuDomain;
import holdfast.qemu.domain.QemuStandby;
import holdfast.qemu.launch.Accelerators;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.ForeignCommandLine;
import holdfast.qemu.launch.QemuCommandLine;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.launch.StandbyCommandLine;
import holdfast.qemu.launch.Taps;
import holdfast.qemu.memory.DirtyTrackers;
import holdfast.wire.ProtocolException;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What operators do with domains of this node, protection aside. */
final class DomainOperations {
    private static final Pattern VERSION = Pattern.compile("\\d+\\.\\d+\\.\\d+");
    private static final String UNKNOWN = "unknown";

    private static final Logger LOG = LoggerFactory.getLogger(DomainOperations.class);
    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);

    private final Registry registry;

    DomainOperations(Registry registry) {
        this.registry = registry;
    }

    /** The QEMU that domains are started with; null where there is none. */
    NodeInfo.Qemu qemu() {
        for (String directory : System.getenv().getOrDefault("PATH", "").split(":")) {
            Path binary = Path.of(directory, QemuProcess.BINARY);
            if (Files.isExecutable(binary)) {
                return new NodeInfo.Qemu(binary.toString(), version(), accelerator());
            }
        }
        return null;
    }

    private static String version() {
        Matcher found = VERSION.matcher(Accelerators.versionLine());
        return found.find() ? found.group() : UNKNOWN;
    }

    private String accelerator() {
        return Accelerators.known(registry.findings())
                .map(finding -> finding.accelerator().name().toLowerCase(Locale.ROOT))
                .orElse(UNKNOWN);
    }

    HostedDomain create(DomainSpec wished) {
        DomainSpec spec = resolved(GuestFiles.inspected(wished));
        HostedDomain domain = begin(spec, DomainRuntime.Origin.STARTED);
        DomainPlace place = registry.freshPlace(spec.name());
        try {
            registry.rememberAhead(domain, place);
            place.makeTaps(spec);
            QemuProcess process =
                    QemuProcess.start(
                            spec,
                            place.files(),
                            spec.accelerator(),
                            QemuCommandLine.Start.RUNNING,
                            StandbyStart.LIMIT);
            try {
                QemuDomain qemu = QemuDomain.attach(process, place.deviceState());
                settle(domain, qemu, place, "started");
                return domain;
            } catch (RuntimeException e) {
                process.kill(KILL_LIMIT);
                throw e;
            }
        } catch (RuntimeException e) {
            domain.removeBody();
            place.remove();
            abandon(domain, e);
            throw translated(e);
        }
    }

    HostedDomain attach(AttachRequest request) {
        Path monitor = Path.of(request.qmpSocket());
        DomainPlace scratch = registry.freshPlace("attached");
        QemuDomain qemu;
        try {
            Files.createDirectories(scratch.files().directory());
            qemu =
                    QemuDomain.attach(
                            monitor, scratch.deviceState(), DomainOperations::requireCopyable);
        } catch (IOException | HypervisorException e) {
            scratch.remove();
            throw e instanceof HypervisorException hypervisor
                    ? translated(hypervisor)
                    : ApiException.failed(e.getMessage(), e);
        }
        String name = request.name() == null ? qemu.name() : request.name();
        try {
            Node.requireLegalName(name);
            DomainSpec spec = described(name, qemu);
            HostedDomain domain = begin(spec, DomainRuntime.Origin.ATTACHED);
            try {
                // Sockets of filters go where we may write; the monitor and the RAM file are
                // theirs.
                settle(domain, qemu, scratch, "attached");
                return domain;
            } catch (RuntimeException e) {
                letGo(domain, e);
                throw e;
            }
        } catch (RuntimeException e) {
            qemu.close();
            scratch.remove();
            throw translated(e);
        }
    }

    /** Takes back that a QEMU of others is a domain here; it runs on as it did. */
    private void letGo(HostedDomain domain, RuntimeException reason) {
        domain.replace(
                view ->
                        view.with(Optional.<HostedDomain.Body>empty())
                                .with(DomainStatus.State.ENDED, DomainStatus.Role.UNPROTECTED)
                                .telling("not attached: " + reason.getMessage()));
        abandon(domain, reason);
    }

    /** Refused before its guest has stood still even once. */
    private static void requireCopyable(QemuDomain qemu) {
        DiskNodes.found(qemu.qmp(), qemu.commandLine());
    }

    /** What can be told of a machine somebody else put together. */
    private static DomainSpec described(String name, QemuDomain qemu) {
        long bytes = qemu.qemu().ramBytes();
        if ((bytes & (1 << 20) - 1) != 0) {
            throw ApiException.badRequest(
                    "domain "
                            + name
                            + " has "
                            + bytes
                            + " bytes of main memory; start it with whole MiB");
        }
        ForeignCommandLine line = qemu.commandLine();
        Map<String, String> taps = StandbyCommandLine.taps(line);
        List<DomainSpec.Nic> nics = qemu.nics().stream().map(nic -> described(nic, taps)).toList();
        int vcpus = qemu.qmp().execute("query-cpus-fast").size();
        return DomainSpec.of(name, qemu.qemu().uuid(), (int) (bytes >> 20))
                .withVcpus(vcpus)
                .withAccelerator(qemu.accelerator())
                .withNics(nics)
                .withDisks(DiskNodes.found(qemu.qmp(), line))
                .withForeign(line);
    }

    private static DomainSpec.Nic described(GuestNic nic, Map<String, String> taps) {
        String tap = taps.get(nic.netdevId());
        return tap == null
                ? new DomainSpec.UserNic(nic.mac(), List.of())
                : new DomainSpec.TapNic(nic.mac(), tap, Taps.bridgeOf(tap));
    }

    private HostedDomain begin(DomainSpec spec, DomainRuntime.Origin origin) {
        HostedDomain domain =
                new HostedDomain(
                        spec, DomainStatus.State.PAUSED, DomainStatus.Role.UNPROTECTED, 0, origin);
        registry.add(domain);
        return domain;
    }

    private void settle(HostedDomain domain, QemuDomain qemu, DomainPlace place, String how) {
        boolean runs = qemu.status().equals("running");
        Set<OperatedDomain.Hold> holds =
                runs
                        ? EnumSet.noneOf(OperatedDomain.Hold.class)
                        : EnumSet.of(OperatedDomain.Hold.OPERATOR);
        domain.replace(
                view ->
                        view.with(
                                        runs
                                                ? DomainStatus.State.RUNNING
                                                : DomainStatus.State.PAUSED,
                                        DomainStatus.Role.UNPROTECTED)
                                .with(Optional.of(HostedDomain.Body.of(qemu, place, holds)))
                                .telling(how));
        registry.remember(domain, "");
        GuestWatch.begin(registry, domain, qemu);
    }

    private DomainSpec resolved(DomainSpec spec) {
        try {
            return registry.resolved(spec);
        } catch (HypervisorException e) {
            throw translated(e);
        }
    }

    private void abandon(HostedDomain domain, RuntimeException reason) {
        try {
            registry.forget(domain);
        } catch (StoreException e) {
            reason.addSuppressed(e);
        }
    }

    private static ApiException translated(RuntimeException e) {
        return switch (e) {
            case ApiException api -> api;
            case HypervisorException hypervisor ->
                    new ApiException(
                            ApiException.Kind.MISSING, hypervisor.getMessage(), hypervisor);
            case ConfigException config ->
                    new ApiException(ApiException.Kind.BAD_REQUEST, config.getMessage(), config);
            default -> ApiException.failed(e.getMessage(), e);
        };
    }

    void pause(HostedDomain domain) {
        requireDecided(domain).operated().hold(OperatedDomain.Hold.OPERATOR);
        domain.replace(view -> view.with(DomainStatus.State.PAUSED, view.role()));
        registry.rememberPause(domain);
    }

    void unpause(HostedDomain domain) {
        requireDecided(domain).operated().release(OperatedDomain.Hold.OPERATOR);
        domain.replace(view -> view.with(DomainStatus.State.RUNNING, view.role()));
        registry.rememberPause(domain);
    }

    private static HostedDomain.Body requireDecided(HostedDomain domain) {
        HostedDomain.Body body = domain.requireBody();
        if (domain.view().state() == DomainStatus.State.STOPPED) {
            throw ApiException.badRequest(
                    "whether \""
                            + domain.name()
                            + "\" may run here is not decided; `holdfast status "
                            + domain.name()
                            + "` says what to do");
        }
        return body;
    }

    SaveResult save(HostedDomain domain, SaveRequest request, ProgressListener progress) {
        HostedDomain.View view = domain.view();
        switch (view.role()) {
            case PRIMARY ->
                    throw ApiException.badRequest(
                            "domain \""
                                    + domain.name()
                                    + "\" is protected; `holdfast unprotect` it before saving");
            case SECONDARY ->
                    throw ApiException.badRequest(
                            "this node holds the replica of \"" + domain.name() + "\" only");
            case MOVING, ARRIVING ->
                    throw ApiException.badRequest(
                            "domain \"" + domain.name() + "\" is being moved; wait for its end");
            case UNPROTECTED, SURVIVOR -> {}
        }
        HostedDomain.Body body = requireDecided(domain);
        requireSavable(Path.of(request.file()));
        boolean stands = body.operated().isHeld(OperatedDomain.Hold.OPERATOR);
        Optional<DirtyTracker> tracker = stands ? Optional.empty() : tracker(domain, body);
        DomainSaving saving =
                new DomainSaving(
                        new DomainSaving.Source(
                                DomainFile.write(view.spec()),
                                body.qemu().memory(),
                                body.operated(),
                                tracker),
                        progress);
        domain.saving(Optional.of(saving));
        try {
            DomainSaving.Written written =
                    saving.write(
                            Path.of(request.file()),
                            request.after() == SaveRequest.After.CONTINUE
                                    ? DomainSaving.Resume.WHEN_READ
                                    : DomainSaving.Resume.NOT_HERE);
            SaveResult result =
                    new SaveResult(
                            domain.name(),
                            request.file(),
                            written.bytes(),
                            body.qemu().memory().pages(),
                            TimeUnit.NANOSECONDS.toMillis(saving.pausedNanos()),
                            written.rounds(),
                            written.finalPages());
            LOG.info(
                    "event=saved domain={} file={} bytes={} rounds={} finalPages={}"
                            + " pausedMicros={}",
                    domain.name(),
                    request.file(),
                    written.bytes(),
                    written.rounds(),
                    written.finalPages(),
                    saving.pausedNanos() / 1000);
            switch (request.after()) {
                case END -> {
                    registry.ended(domain, "saved to " + request.file());
                    registry.forget(domain);
                }
                case PAUSE -> {
                    body.operated().hold(OperatedDomain.Hold.OPERATOR);
                    saving.release();
                    domain.replace(v -> v.with(DomainStatus.State.PAUSED, v.role()));
                    registry.rememberPause(domain);
                }
                case CONTINUE -> {}
            }
            return result;
        } catch (IOException | RuntimeException e) {
            throw ApiException.failed(
                    "\""
                            + domain.name()
                            + "\" was not saved to "
                            + request.file()
                            + goesOn(domain, saving, e)
                            + e.getMessage(),
                    e);
        } finally {
            domain.saving(Optional.empty());
            tracker.ifPresent(DirtyTracker::close);
        }
    }

    /** The whole file takes the place of what has its name: known before a byte is written. */
    private static void requireSavable(Path file) {
        if (Files.exists(file) && !Files.isRegularFile(file)) {
            throw ApiException.badRequest(
                    "cannot save to "
                            + file
                            + ": it is "
                            + (Files.isDirectory(file) ? "a directory" : "a device, pipe or socket")
                            + "; expected the name of a file");
        }
        Path directory = file.toAbsolutePath().getParent();
        if (directory == null || !Files.isDirectory(directory)) {
            throw ApiException.badRequest(
                    "cannot save to " + file + ": there is no directory " + directory);
        }
    }

    /** What became of the domain after a save that failed; it says what is so. */
    private static String goesOn(HostedDomain domain, DomainSaving saving, Exception failure) {
        try {
            saving.release();
            return " and goes on here: ";
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
            domain.replace(v -> v.with(DomainStatus.State.PAUSED, v.role()));
            return " and stands still here, for it could not be let go on ("
                    + e.getMessage()
                    + "); `holdfast unpause "
                    + domain.name()
                    + "` tries again: ";
        }
    }

    /** Without one the guest stands still for all of it. */
    private static Optional<DirtyTracker> tracker(HostedDomain domain, HostedDomain.Body body) {
        try {
            return Optional.of(
                    DirtyTrackers.open(
                                    body.qemu().qemu().process().pid(),
                                    body.qemu().memory(),
                                    body.operated(),
                                    Optional.empty())
                            .tracker());
        } catch (HypervisorException e) {
            LOG.warn(
                    "event=saved-standing-still domain={} reason=\"{}\"",
                    domain.name(),
                    e.getMessage());
            return Optional.empty();
        }
    }

    /** Ends a save; the one who ordered it hears of it. */
    void cancelSave(HostedDomain domain) {
        domain.saving()
                .orElseThrow(
                        () ->
                                ApiException.badRequest(
                                        "domain \"" + domain.name() + "\" is not being saved"))
                .cancel("cancelled by the operator");
    }

    HostedDomain restore(RestoreRequest request, ProgressListener progress) {
        Path file = Path.of(request.file());
        try (SavedDomain reading = new SavedDomain(file, progress)) {
            if (reading.specJson().contains("\"c_info\"")) {
                throw ApiException.badRequest(
                        file
                                + " is a domain of Xen's, which cannot be run here; `holdfast"
                                + " stream inspect` describes it");
            }
            DomainSpec saved = DomainFile.parse(request.file(), reading.specJson());
            DomainSpec named = request.name() == null ? saved : renamed(saved, request.name());
            DomainSpec placed = new MovedPaths(request.paths()).in(named);
            DomainSpec spec = resolved(GuestFiles.inspected(placed));
            HostedDomain domain = begin(spec, DomainRuntime.Origin.STARTED);
            DomainPlace place = registry.freshPlace(spec.name());
            try {
                registry.rememberAhead(domain, place);
                place.makeTaps(spec);
                QemuStandby standby = StandbyStart.start(spec, place);
                try {
                    reading.readInto(standby.replica());
                    progress.progress(
                            new Progress("loading", 0, 0, 0, "loading the devices' state"));
                    QemuDomain qemu =
                            standby.takeOver(
                                    reading.base(),
                                    reading.sections(),
                                    new InboundFrames(List.of()));
                    settle(domain, qemu, place, "restored from " + file);
                    return domain;
                } catch (IOException | RuntimeException e) {
                    standby.close();
                    throw e;
                }
            } catch (IOException | RuntimeException e) {
                domain.removeBody();
                place.remove();
                registry.forget(domain);
                throw e;
            }
        } catch (ProtocolException | ConfigException e) {
            throw new ApiException(
                    ApiException.Kind.FAILED,
                    e.getMessage() + " in " + file + "; nothing was started",
                    e);
        } catch (IOException e) {
            throw new ApiException(
                    ApiException.Kind.BAD_REQUEST, "cannot read " + file + ": " + reason(e), e);
        } catch (HypervisorException e) {
            throw translated(e);
        }
    }

    /** Java's own text for a file that is missing or forbidden is its name alone. */
    private static String reason(IOException e) {
        return switch (e) {
            case NoSuchFileException _ -> "there is no such file";
            case AccessDeniedException _ -> "no right to";
            default -> e.getMessage();
        };
    }

    private static DomainSpec renamed(DomainSpec spec, String name) {
        Node.requireLegalName(name);
        return spec.withName(name);
    }
}
