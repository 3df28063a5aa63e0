package holdfast.node;

import holdfast.engine.HypervisorException;
import holdfast.engine.migrate.Feature;
import holdfast.engine.migrate.FeaturePlan;
import holdfast.engine.migrate.FeatureReport;
import holdfast.engine.migrate.FeatureReport.Result;
import holdfast.node.link.AcceptCookie;
import holdfast.qemu.domain.QemuArrival;
import holdfast.qemu.launch.DomainSpec;
import holdfast.qemu.launch.Taps;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** Brings the features of an arriving domain up, and down again. Used by the session's thread. */
final class ArrivingFeatures {
    private static final Logger LOG = LoggerFactory.getLogger(ArrivingFeatures.class);

    /** Run with the network where the administrator has put it there, without being asked for. */
    private static final String PORT_PROFILE = "port-profile";

    private static final long CACHED_BYTES_MAX = 64L << 20;
    private static final int CACHE_STEP_BYTES = 1 << 20;

    private final DomainSpec spec;
    private final List<AcceptCookie.Copy> copies;
    private final String migration;
    private final HookPlace hooks;
    private final HookLog log;
    private final Map<String, String> environment;
    private final Hook.Cut inits = new Hook.Cut();
    private Optional<FeatureReport> cached = Optional.empty();
    private Optional<FeatureReport> unconnected = Optional.empty();
    private Optional<HypervisorException> untaken = Optional.empty();

    /** Where hooks are and how long one may take. */
    record HookPlace(Path directory, java.time.Duration limit) {
        Hook named(String name) {
            return Hook.in(directory, name, limit);
        }
    }

    /**
     * @param spec with this host's taps
     * @param copies disks that were copied here
     * @param log of this arrival
     */
    ArrivingFeatures(
            DomainSpec spec,
            List<AcceptCookie.Copy> copies,
            String migration,
            String source,
            String node,
            HookPlace hooks,
            HookLog log) {
        this.spec = spec;
        this.copies = List.copyOf(copies);
        this.migration = migration;
        this.hooks = hooks;
        this.log = log;
        this.environment = environment(spec, migration, source, node);
    }

    private static Map<String, String> environment(
            DomainSpec spec, String migration, String source, String node) {
        Map<String, String> variables = new HashMap<>();
        variables.put("HOLDFAST_DOMAIN", spec.name());
        variables.put("HOLDFAST_UUID", spec.uuid().toString());
        variables.put(Hook.MIGRATION_VARIABLE, migration);
        variables.put("HOLDFAST_SOURCE", source);
        variables.put("HOLDFAST_NODE", node);
        List<String> taps = new ArrayList<>();
        List<String> bridges = new ArrayList<>();
        List<String> macs = new ArrayList<>();
        for (DomainSpec.Nic nic : spec.nics()) {
            macs.add(nic.mac());
            if (nic instanceof DomainSpec.TapNic(String _, String tap, Optional<String> bridge)) {
                taps.add(tap);
                bridges.add(bridge.orElse("-"));
            }
        }
        variables.put("HOLDFAST_MACS", String.join(" ", macs));
        variables.put("HOLDFAST_TAPS", String.join(" ", taps));
        variables.put("HOLDFAST_BRIDGES", String.join(" ", bridges));
        return variables;
    }

    /** What can be looked at, or done, while the guest still runs elsewhere. */
    List<FeatureReport> prepare(FeaturePlan plan) {
        List<FeatureReport> reports = new ArrayList<>();
        for (Feature feature : plan.features()) {
            if (feature.name().equals(Feature.DISK)) {
                for (DomainSpec.Disk disk : spec.disks()) {
                    if (!Files.isReadable(disk.path())) {
                        reports.add(
                                report(
                                        feature,
                                        Result.FAILED,
                                        disk.path() + " cannot be read here",
                                        System.nanoTime()));
                    }
                }
            } else if (feature.name().startsWith(Feature.HOOK_PREFIX)) {
                String missing = hook(feature).missing();
                if (!missing.isEmpty()) {
                    reports.add(report(feature, Result.FAILED, missing, System.nanoTime()));
                }
            } else if (feature.name().equals(Feature.DISK_CACHE)) {
                cached = Optional.of(tried(feature, this::fillCache));
                reports.add(cached.get());
            } else if (feature.name().equals(Feature.NETWORK)) {
                // Asking which bridge a tap is on takes some milliseconds: not in the pause.
                FeatureReport bridges = tried(feature, this::bridges);
                if (bridges.result() == Result.FAILED) {
                    unconnected = Optional.of(bridges);
                    reports.add(bridges);
                }
            }
        }
        return reports;
    }

    /** What fails here fails the devices, when it is their turn. */
    void offerSections(MemorySegment base, MemorySegment part, QemuArrival qemu) {
        if (untaken.isPresent()) {
            return;
        }
        try {
            qemu.offerSections(base, part);
        } catch (HypervisorException e) {
            untaken = Optional.of(e);
        }
    }

    private interface Attempt {
        /** Returns what was done. */
        String run() throws IOException;
    }

    FeatureReport bringUp(Feature feature, QemuArrival qemu) {
        return switch (feature.name()) {
            case Feature.MEMORY -> tried(feature, () -> spec.memoryMiB() + " MiB are here");
            case Feature.DEVICES -> tried(feature, () -> devices(qemu));
            case Feature.DISK -> tried(feature, () -> disks(qemu));
            case Feature.DISK_CACHE -> cached.orElseGet(() -> tried(feature, this::fillCache));
            case Feature.NETWORK -> unconnected.orElseGet(() -> tried(feature, this::network));
            default -> tried(feature, () -> init(hook(feature)));
        };
    }

    FeatureReport takeDown(FeatureReport up) {
        Feature feature = new Feature(up.name(), up.necessity());
        long begun = System.nanoTime();
        try {
            String detail =
                    switch (feature.name()) {
                        // They end with their process.
                        case Feature.MEMORY, Feature.DEVICES, Feature.DISK -> "ends with its QEMU";
                        case Feature.DISK_CACHE -> "nothing to take down";
                        case Feature.NETWORK -> networkDown();
                        default -> deinit(hook(feature));
                    };
            return report(feature, Result.DOWN, detail, begun);
        } catch (IOException | RuntimeException e) {
            return report(feature, Result.DOWN_FAILED, e.getMessage(), begun);
        }
    }

    private static FeatureReport tried(Feature feature, Attempt attempt) {
        long begun = System.nanoTime();
        try {
            return report(feature, Result.UP, attempt.run(), begun);
        } catch (IOException | RuntimeException e) {
            return report(feature, Result.FAILED, e.getMessage(), begun);
        }
    }

    private static FeatureReport report(
            Feature feature, Result result, String detail, long begunNanos) {
        return new FeatureReport(
                feature.name(),
                feature.necessity(),
                result,
                String.valueOf(detail),
                TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - begunNanos));
    }

    private String devices(QemuArrival qemu) {
        if (untaken.isPresent()) {
            throw untaken.get();
        }
        return qemu.load() + " bytes of state are loaded";
    }

    /** QEMU opens and locks its images when it loads the state; what failed shows here. */
    private String disks(QemuArrival qemu) throws IOException {
        int locked = 0;
        for (DomainSpec.Disk disk : spec.disks()) {
            if (disk.access() == DomainSpec.Access.READ_WRITE) {
                if (!holdsLock(qemu.process().pid(), disk.path())) {
                    throw new HypervisorException(
                            "disk",
                            disk.path()
                                    + " is not locked by the QEMU here: another process has it, or"
                                    + " its file system knows no locks (lslocks shows who)");
                }
                locked++;
            }
        }
        return "images open: "
                + spec.disks().size()
                + ", locked for writing: "
                + locked
                + (copies.isEmpty() ? "" : ", copied here and forced: " + copies.size());
    }

    /** Whether a process has a lock on a file, as its own descriptors show it. */
    private static boolean holdsLock(long pid, Path image) throws IOException {
        Path process = Path.of("/proc", Long.toString(pid));
        Path real = image.toRealPath();
        try (DirectoryStream<Path> descriptors = Files.newDirectoryStream(process.resolve("fd"))) {
            for (Path descriptor : descriptors) {
                if (Files.isSymbolicLink(descriptor)
                        && Files.readSymbolicLink(descriptor).equals(real)
                        && Files.readAllLines(
                                        process.resolve("fdinfo").resolve(descriptor.getFileName()))
                                .stream()
                                .anyMatch(line -> line.startsWith("lock:"))) {
                    return true;
                }
            }
        }
        return false;
    }

    private String bridges() {
        for (DomainSpec.Nic nic : spec.nics()) {
            if (nic instanceof DomainSpec.TapNic(String _, String tap, Optional<String> bridge)) {
                requireTap(tap, bridge);
            }
        }
        return "taps are on their bridges";
    }

    private String network() throws IOException {
        List<String> done = new ArrayList<>();
        for (DomainSpec.Nic nic : spec.nics()) {
            switch (nic) {
                case DomainSpec.TapNic(String _, String tap, Optional<String> bridge) -> {
                    if (!Taps.exists(tap)) {
                        throw new HypervisorException(
                                "network", "tap " + tap + " is gone on this node");
                    }
                    done.add(tap + bridge.map(name -> " on " + name).orElse(""));
                }
                case DomainSpec.UserNic user -> done.add("user network of " + user.mac());
            }
        }
        Hook profile = hooks.named(PORT_PROFILE);
        if (profile.missing().isEmpty()) {
            done.add("port profile: " + init(profile));
        }
        return String.join(", ", done);
    }

    /**
     * @throws HypervisorException if the tap is gone, or is not on its bridge
     */
    static void requireTap(String tap, Optional<String> bridge) {
        if (!Taps.exists(tap)) {
            throw new HypervisorException("network", "tap " + tap + " is gone on this node");
        }
        Optional<String> found = Taps.bridgeOf(tap);
        if (bridge.isPresent() && !found.equals(bridge)) {
            throw new HypervisorException(
                    "network",
                    "tap "
                            + tap
                            + " is "
                            + found.map(name -> "on bridge " + name).orElse("on no bridge")
                            + ", expected "
                            + bridge.get()
                            + "; ip link set "
                            + tap
                            + " master "
                            + bridge.get());
        }
    }

    private String networkDown() throws IOException {
        Hook profile = hooks.named(PORT_PROFILE);
        return profile.missing().isEmpty()
                ? "port profile: " + deinit(profile)
                : "taps go with the copy";
    }

    private Hook hook(Feature feature) {
        return hooks.named(feature.name().substring(Feature.HOOK_PREFIX.length()));
    }

    /**
     * Nothing of this comes up any more: what is being brought up is not waited for. Any thread.
     */
    void giveUp() {
        inits.now();
    }

    private String init(Hook hook) throws IOException {
        if (inits.isCut()) {
            // Begun, it would be killed at once, and its deinit waited for.
            throw new IOException("was not begun, for the migration was given up");
        }
        log.note(HookLog.Stage.BEGUN, hook.name());
        Hook.Result result = run(hook, Hook.Verb.INIT, inits);
        return switch (result.end()) {
            case DONE -> {
                tryNote(HookLog.Stage.UP, hook);
                yield result.text();
            }
            case FAILED -> {
                tryNote(HookLog.Stage.DOWN, hook);
                throw new IOException(result.text());
            }
            case KILLED -> throw new IOException(result.text() + "; " + halfway(hook));
        };
    }

    /** How far it got is not known, and nobody else takes it down. */
    private String halfway(Hook hook) {
        try {
            return "taken down: " + deinit(hook);
        } catch (IOException e) {
            return "not taken down: " + e.getMessage();
        }
    }

    /** One that cannot be taken down is reported once, and not tried again. */
    private String deinit(Hook hook) throws IOException {
        tryNote(HookLog.Stage.GOING_DOWN, hook);
        try {
            Hook.Result result = run(hook, Hook.Verb.DEINIT, new Hook.Cut());
            if (result.end() != Hook.End.DONE) {
                throw new IOException(result.text());
            }
            return result.text();
        } finally {
            tryNote(HookLog.Stage.DOWN, hook);
        }
    }

    /** At worst the next daemon takes down once more what is down. */
    private void tryNote(HookLog.Stage stage, Hook hook) {
        try {
            log.note(stage, hook.name());
        } catch (IOException e) {
            LOG.warn(
                    "event=hook-not-noted domain={} hook={} stage={} reason=\"{}\"",
                    spec.name(),
                    hook.name(),
                    stage,
                    e.toString());
        }
    }

    /**
     * Takes down, newest first, what is up by the log: a daemon that died had brought it up, or the
     * domain was handed over and is gone. A run that the dead one was at is ended before, and what
     * an init had done by then taken down as well.
     */
    void takeDownLeft() {
        List<HookLog.Left> left;
        try {
            left = log.left();
        } catch (IOException e) {
            LOG.warn(
                    "event=hooks-unknown domain={} migration={} reason=\"{}\" next=\"take down by"
                            + " hand what its hooks had brought up\"",
                    spec.name(),
                    migration,
                    e.toString());
            return;
        }
        for (HookLog.Left each : left) {
            Hook hook = hooks.named(each.hook());
            try {
                if (each.stage() != HookLog.Stage.UP) {
                    hook.endLeftRuns(migration);
                }
                LOG.info(
                        "event=hook-taken-down domain={} migration={} hook={} said=\"{}\"",
                        spec.name(),
                        migration,
                        each.hook(),
                        deinit(hook));
            } catch (IOException | HypervisorException e) {
                LOG.warn(
                        "event=feature-left domain={} migration={} feature={} reason=\"{}\""
                                + " next=\"take it down by hand\"",
                        spec.name(),
                        migration,
                        Feature.HOOK_PREFIX + each.hook(),
                        e.getMessage());
            }
        }
    }

    /** Says what is left of an arrival of which no more is known than that. */
    static void tellLeft(String domain, HookLog log) {
        try {
            for (HookLog.Left each : log.left()) {
                LOG.warn(
                        "event=feature-left domain={} feature={} reason=\"which migration brought"
                                + " it up is not known any more\" next=\"take it down by hand\"",
                        domain,
                        Feature.HOOK_PREFIX + each.hook());
            }
        } catch (IOException e) {
            LOG.warn(
                    "event=hooks-unknown domain={} reason=\"{}\" next=\"take down by hand what its"
                            + " hooks had brought up\"",
                    domain,
                    e.toString());
        }
    }

    private Hook.Result run(Hook hook, Hook.Verb verb, Hook.Cut cut) {
        Map<String, String> variables = new HashMap<>(environment);
        variables.put(Hook.NAME_VARIABLE, hook.name());
        variables.put("HOLDFAST_TIMEOUT_MILLIS", Long.toString(hook.limit().toMillis()));
        return hook.run(verb, spec.name(), migration, variables, cut);
    }

    /** The first of each image is read once, so that the guest's first reads here are quick. */
    private String fillCache() throws IOException {
        long read = 0;
        ByteBuffer buffer = ByteBuffer.allocate(CACHE_STEP_BYTES);
        for (int i = 0; i < spec.disks().size(); i++) {
            if (isCopied(i)) {
                // In the cache by being written; and closing it here would give up its lock.
                continue;
            }
            try (FileChannel image = FileChannel.open(spec.disks().get(i).path())) {
                long done = 0;
                while (done < CACHED_BYTES_MAX) {
                    int count = image.read(buffer.clear());
                    if (count < 0) {
                        break;
                    }
                    done += count;
                }
                read += done;
            }
        }
        return (read >> 20) + " MiB of images were read";
    }

    private boolean isCopied(int disk) {
        return copies.stream().anyMatch(copy -> copy.disk() == disk);
    }
}
