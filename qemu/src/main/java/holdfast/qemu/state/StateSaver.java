package holdfast.qemu.state;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DeviceState.DeviceBase;
import holdfast.engine.port.StateSave;
import holdfast.qemu.qmp.QmpClient;
import holdfast.qemu.qmp.QmpCommand;
import holdfast.qemu.qmp.QmpEvent;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Saves the device state of one running QEMU, epoch after epoch. The base is taken anew when it may
 * have changed: after a reset, after a device came or went, and every so often. One thread; events
 * arrive on the monitor's.
 */
public final class StateSaver implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    /** Video memory and flash change while the guest runs. */
    private static final long MUTABLE_BASE_NANOS = 1_000_000_000L;

    /** Tables the firmware was given may still be rebuilt. */
    private static final long SETTLED_BASE_NANOS = 10_000_000_000L;

    /** Device sections are some dozen kilobytes; less free than this makes an error suspicious. */
    private static final long ROOM_BYTES = 1 << 20;

    /** How long QEMU is waited for before what it has written by then is read. */
    private static final Duration LOOK = Duration.ofNanos(150_000);

    /** Less is left for the next look: each part costs both nodes some work. */
    private static final int PART_BYTES_MIN = 8 << 10;

    private static final Set<String> BASE_EVENTS = Set.of("RESET", "DEVICE_DELETED");
    private static final String COMMAND = "xen-save-devices-state";

    /** The status of a guest that has not run since all of its state was given. */
    public static final String GIVEN = "postmigrate";

    private final QmpClient qmp;
    private final Path file;
    private final String mainBackend;
    private final BaseCapture capture;
    private final QmpClient.Subscription events;
    private final AtomicBoolean stale = new AtomicBoolean(true);
    private final BaseCapture.GrowingBuffer sections =
            new BaseCapture.GrowingBuffer(1 << 20, VmStateImage.STATE_BYTES_MAX);
    private Optional<Taken> taken = Optional.empty();
    private Optional<FileChannel> open = Optional.empty();

    /** The newest base, in memory of its own, and when it was taken. */
    private record Taken(DeviceBase base, Arena arena, Mutability mutability, long nanos) {}

    /** Whether RAM blocks of the base change while the guest runs. */
    private enum Mutability {
        MUTABLE,
        SETTLED
    }

    private StateSaver(QmpClient qmp, Path directory, String mainBackend) {
        this.qmp = qmp;
        this.file = directory.resolve("sections");
        this.mainBackend = mainBackend;
        this.capture = BaseCapture.open(qmp, directory.resolve("base.sock"));
        this.events = qmp.subscribe(this::onEvent);
    }

    /**
     * @param directory an existing empty directory, best in a memory file system
     * @param mainBackend the path of the memory backend that is main memory
     */
    public static StateSaver open(QmpClient qmp, Path directory, String mainBackend) {
        return new StateSaver(qmp, directory, mainBackend);
    }

    private void onEvent(QmpEvent event) {
        if (BASE_EVENTS.contains(event.name())) {
            stale.set(true);
        }
    }

    /** To be told when a device was plugged, which QEMU tells nobody. */
    public void deviceSetChanged() {
        stale.set(true);
    }

    /** What becomes of the disks' images. */
    public enum Images {
        /** They stay open and locked. */
        KEPT,
        /** They are let go of, until the guest runs again. */
        RELEASED
    }

    /**
     * Saves the state; the guest must be stopped.
     *
     * @return the base is valid until the base's number grows, the sections until the next call
     */
    public DeviceState save() {
        renewBaseIfDue();
        return new DeviceState(taken.orElseThrow().base(), saveSections());
    }

    /**
     * Begins to save the state, and to let go of the disks' images; the guest must be stopped. What
     * QEMU has written is read while it writes on: the state is long on its way when QEMU answers.
     *
     * @return the base is valid until the base's number grows
     */
    public StateSave beginHandOver() {
        renewBaseIfDue();
        try {
            // What an earlier save left must not be taken for this one's.
            closeFile();
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot remove " + file, e);
        }
        sections.clear();
        return new Underway(
                taken.orElseThrow().base(),
                qmp.issueBefore(QmpCommand.QUERY_STATUS, command(Images.RELEASED)));
    }

    private final class Underway implements StateSave {
        private final DeviceBase base;
        private final QmpClient.Issued save;
        private final long until = System.nanoTime() + LIMIT.toNanos();
        private long returned;

        Underway(DeviceBase base, QmpClient.Issued save) {
            this.base = base;
            this.save = save;
        }

        @Override
        public DeviceBase base() {
            return base;
        }

        @Override
        public Optional<MemorySegment> next() {
            boolean over = save.isOver(Duration.ZERO);
            while (!over && readNew() < PART_BYTES_MIN) {
                Duration left = Duration.ofNanos(until - System.nanoTime());
                over = !left.isPositive() || save.isOver(LOOK);
            }
            if (over) {
                requireSaved();
                if (readNew() == 0) {
                    StateSplice.requireSections(sections.bytes());
                    return Optional.empty();
                }
            }
            MemorySegment part = sections.bytes().asSlice(returned).asReadOnly();
            returned += part.byteSize();
            return Optional.of(part);
        }

        /** Bytes that were not returned yet. */
        private long readNew() {
            readSections();
            return sections.bytes().byteSize() - returned;
        }

        private void requireSaved() {
            try {
                save.result(Duration.ofNanos(Math.max(1, until - System.nanoTime())));
            } catch (HypervisorException e) {
                throw explained(e);
            }
        }
    }

    private void renewBaseIfDue() {
        long now = System.nanoTime();
        boolean due =
                taken.map(
                                old ->
                                        now - old.nanos()
                                                > switch (old.mutability()) {
                                                    case MUTABLE -> MUTABLE_BASE_NANOS;
                                                    case SETTLED -> SETTLED_BASE_NANOS;
                                                })
                        .orElse(true);
        // Cleared before the capture: an event during it must not be forgotten.
        if (stale.getAndSet(false) || due) {
            try {
                renewBase();
            } catch (RuntimeException e) {
                stale.set(true);
                throw e;
            }
        }
    }

    /** QEMU gives one stream per stop: the guest has not run since, so the base still holds. */
    private void renewBase() {
        String status = qmp.execute("query-status").path("status").asText();
        if (!status.equals(GIVEN)) {
            takeBase();
        } else if (taken.isPresent()) {
            stale.set(true);
        } else {
            throw new HypervisorException(
                    COMMAND,
                    "the guest was left stopped after a migration or an earlier state save;"
                            + " let it run first (cont)");
        }
    }

    private void takeBase() {
        BaseCapture.Base captured = capture.take(LIMIT);
        Mutability mutability =
                captured.stream().blocks().stream().anyMatch(block -> isMutable(block.name()))
                        ? Mutability.MUTABLE
                        : Mutability.SETTLED;
        long now = System.nanoTime();
        if (taken.isPresent()) {
            Taken old = taken.get();
            if (old.base().bytes().mismatch(captured.bytes()) < 0) {
                taken = Optional.of(new Taken(old.base(), old.arena(), mutability, now));
                return;
            }
        }
        Arena arena = Arena.ofShared();
        MemorySegment copy = arena.allocate(captured.bytes().byteSize()).copyFrom(captured.bytes());
        long number = taken.map(old -> old.base().number() + 1).orElse(1L);
        taken.ifPresent(old -> old.arena().close());
        taken =
                Optional.of(
                        new Taken(
                                new DeviceBase(number, copy.asReadOnly()), arena, mutability, now));
    }

    /** Firmware copies and option ROMs are written by nobody but a reset; anything else may be. */
    private boolean isMutable(String block) {
        return isMutable(mainBackend, block);
    }

    static boolean isMutable(String mainBackend, String block) {
        // Newer machine types name the block by its backend's id, older ones by its whole path.
        return !(block.equals(mainBackend)
                || mainBackend.endsWith("/" + block)
                || block.equals("pc.bios")
                || block.equals("pc.rom")
                || block.startsWith("/rom@")
                || block.endsWith(".rom"));
    }

    /** What saves the state, to be primed while the guest stops. */
    public QmpCommand command(Images images) {
        return new QmpCommand(
                COMMAND, Map.of("filename", file.toString(), "live", images == Images.RELEASED));
    }

    private MemorySegment saveSections() {
        try {
            qmp.executeBefore(QmpCommand.QUERY_STATUS, command(Images.KEPT), LIMIT);
        } catch (HypervisorException e) {
            throw explained(e);
        }
        sections.clear();
        readSections();
        MemorySegment bytes = sections.bytes();
        StateSplice.requireSections(bytes);
        return bytes.asReadOnly();
    }

    /** Reads on to what is the end of the file now; where QEMU has not made it yet, nothing. */
    private void readSections() {
        try {
            if (open.isEmpty()) {
                // QEMU truncates the file and writes it anew, so one opening serves for many saves.
                open = Optional.of(FileChannel.open(file, StandardOpenOption.READ));
            }
            FileChannel channel = open.get().position(sections.bytes().byteSize());
            while (sections.read(channel) >= 0) {}
        } catch (NoSuchFileException e) {
            // The save says of itself if there is to be no file.
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot read " + file, e);
        }
    }

    private void closeFile() throws IOException {
        if (open.isPresent()) {
            open.get().close();
            open = Optional.empty();
        }
    }

    /** QEMU says of a full file system only that there was an error. */
    private HypervisorException explained(HypervisorException said) {
        try {
            long free = Files.getFileStore(file.getParent()).getUsableSpace();
            return free >= ROOM_BYTES
                    ? said
                    : new HypervisorException(
                            COMMAND,
                            "cannot write %s: its file system has %d KiB free; make room there"
                                    .formatted(file, free >> 10),
                            said);
        } catch (IOException e) {
            said.addSuppressed(e);
            return said;
        }
    }

    @Override
    public void close() {
        events.close();
        try (capture;
                sections) {
            taken.ifPresent(old -> old.arena().close());
            closeFile();
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new HypervisorException(COMMAND, "cannot remove " + file, e);
        }
    }
}
