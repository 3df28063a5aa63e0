package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.MigrateRequest;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.MigrationStatus;
import holdfast.node.api.ProgressListener;
import holdfast.node.link.FrameProxy.Act;
import holdfast.node.link.FrameProxy.Place;
import holdfast.node.link.FrameProxy.Way;
import holdfast.wire.link.ConnectionKind;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Each feature fails once to come up on a real destination, in whatever phase that shows; the
 * second attempt moves the domain. Hosts are network namespaces, the destination's memory is small
 * and its QEMU is what a file of the test makes of it. Hooks have {@link MigrationHookTest}, copied
 * disks {@link MigrationStorageTest}.
 */
@Tag("qemu")
@Timeout(180)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MigrationFeatureTest {
    private static final int DEADLINE_MILLIS = 5_000;
    private static final int ROOM_MIB = 100;

    /** Of QEMU's locks on an image: while anybody holds it, nobody new may write. */
    private static final long NOBODY_WRITES_BYTE = 201;

    /** What a guest was told to do while a migration failed. */
    private enum Guest {
        /** It failed before the pause. */
        NEVER_STOPPED,
        /** It failed in the pause, and the guest went on. */
        STOPPED_AND_RESUMED
    }

    private Cable cable;
    private SmallFileSystem room;
    private Path fault;
    private Path socket;
    private Path hidden;
    private MigratingPair pair;

    @BeforeAll
    void start() throws Exception {
        cable = new Cable();
        pair =
                new MigratingPair(
                        hosts -> cable.site(Cable.End.A, hosts),
                        this::destination,
                        Cable.End.A.here(),
                        Cable.End.B.here());
        socket = pair.hosts.directory.resolve("watch.sock");
    }

    /** It has its own small memory, its own QEMU, and a directory of its own at a shared path. */
    private TestDaemon.Site destination(TestHosts hosts) {
        try {
            room = SmallFileSystem.mount(hosts.directory.resolve("room"), (long) ROOM_MIB << 20);
            fault = hosts.directory.resolve("fault");
            hidden = Files.createDirectory(hosts.directory.resolve("hidden"));
            Path programs = Files.createDirectory(hosts.directory.resolve("programs"));
            Path wrapper = programs.resolve("qemu-system-x86_64");
            Files.writeString(
                    wrapper,
                    """
                    #!/bin/bash
                    PATH=${PATH#*:}
                    [ -e %1$s ] || exec qemu-system-x86_64 "$@"
                    words=()
                    for a in "$@"; do words+=("${a/$(sed -n 1p %1$s)/$(sed -n 2p %1$s)}"); done
                    exec qemu-system-x86_64 "${words[@]}"
                    """
                            .formatted(fault));
            Files.setPosixFilePermissions(wrapper, PosixFilePermissions.fromString("rwxr-xr-x"));
            TestDaemon.Site site = cable.site(Cable.End.B, hosts);
            List<String> within = new ArrayList<>(site.within());
            within.addAll(
                    List.of(
                            "sh",
                            "-c",
                            "mount -t tmpfs -o size=1m hf-hidden " + hidden + " && exec \"$@\"",
                            "sh"));
            return new TestDaemon.Site(site.address(), within, room.root(), programs.toString());
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @AfterEach
    void clear() throws Exception {
        Files.deleteIfExists(fault);
        pair.clear();
        MigratingPair.await("an empty RAM directory there", () -> isEmpty(room.root()));
    }

    @AfterAll
    void close() throws IOException {
        try (Cable _ = cable;
                MigratingPair _ = pair;
                SmallFileSystem _ = room) {}
    }

    @Test
    void memory_that_something_else_has() throws Exception {
        Path filler = room.root().resolve("filler");
        try (MonitorWatch watch = create("")) {
            Files.write(filler, new byte[(ROOM_MIB - 60) << 20]);
            stays(
                    pair.migrate(request()),
                    watch,
                    Guest.NEVER_STOPPED,
                    "no room for the domain's memory",
                    "60 MiB free, needed are 64 MiB");
            Files.delete(filler);
            pair.moveOn();
        } finally {
            Files.deleteIfExists(filler);
        }
    }

    /**
     * There is room when the destination answers, and none when it reserves. It is stopped between
     * the two; where that came too late, which its file shows, the domain moves, back again, and
     * once more.
     */
    @Test
    void memory_that_something_takes_after_the_destination_has_accepted() throws Exception {
        Path filler = room.root().resolve("filler");
        create("").close();
        try {
            for (int i = 0; !tookItInTime(filler); i++) {
                assertThat(i).as("stopped too late each time").isLessThan(20);
                pair.moveOn();
            }
            Files.delete(filler);
            pair.moveOn();
        } finally {
            Files.deleteIfExists(filler);
        }
    }

    /** Whether the room was taken before it was reserved. Else the domain has moved. */
    private boolean tookItInTime(Path filler) throws Exception {
        try (MonitorWatch watch = MonitorWatch.on(socket)) {
            Process stopping = stopWhenItsMemoryIsMade();
            CompletableFuture<String> moving = pair.migrate(request());
            assertThat(stopping.waitFor()).isZero();
            boolean early;
            try {
                // Its last page is there from the start.
                early =
                        Files.getFileStore(room.root()).getUsableSpace()
                                > (long) (ROOM_MIB - 1) << 20;
                if (early) {
                    Files.write(filler, new byte[(ROOM_MIB - 60) << 20]);
                }
            } finally {
                pair.b.signal("CONT");
            }
            if (early) {
                stays(
                        moving,
                        watch,
                        Guest.NEVER_STOPPED,
                        "hf-g-",
                        "needs 64 MiB, the file system of " + room.root() + " has",
                        "enlarge it");
            } else {
                assertThat(moving.get(60, TimeUnit.SECONDS)).startsWith("moved");
            }
            return early;
        }
    }

    private Process stopWhenItsMemoryIsMade() throws IOException {
        String script =
                "echo; until compgen -G '%s/hf-g-*' >/dev/null; do :; done; kill -STOP %d"
                        .formatted(room.root(), pair.b.pid());
        Process stopping = new ProcessBuilder("bash", "-c", script).start();
        // It looks from here on.
        assertThat(stopping.getInputStream().read()).isEqualTo('\n');
        return stopping;
    }

    @Test
    void a_device_that_the_destinations_qemu_does_not_know() throws Exception {
        try (MonitorWatch watch = create("")) {
            Files.writeString(fault, "virtio-rng-pci\nvirtio-rng-of-2049\n");
            stays(
                    pair.migrate(request()),
                    watch,
                    Guest.NEVER_STOPPED,
                    "'virtio-rng-of-2049' is not a valid device model name");
            Files.delete(fault);
            pair.moveOn();
        }
    }

    /** Its QEMU fails before the source has opened all its connections. */
    @Test
    void a_destination_that_gives_up_before_all_connections_are_open_says_why() throws Exception {
        try (MonitorWatch watch = create("")) {
            Files.writeString(fault, "virtio-rng-pci\nvirtio-rng-of-2049\n");
            pair.proxy.arm(new Place(ConnectionKind.BULK, Way.THERE, "HELLO", 0, Act.HOLD));
            CompletableFuture<String> moving = pair.migrate(request());
            pair.proxy.awaitReached();
            MigratingPair.await(
                    "its last word",
                    () ->
                            pair.proxy.seen().stream()
                                    .anyMatch(seen -> seen.message().equals("ROLLED_BACK")));
            pair.proxy.release();
            stays(
                    moving,
                    watch,
                    Guest.NEVER_STOPPED,
                    "gives the domain back",
                    "'virtio-rng-of-2049' is not a valid device model name");
            Files.delete(fault);
            pair.moveOn();
        }
    }

    @Test
    void a_device_state_that_the_destinations_qemu_cannot_load() throws Exception {
        try (MonitorWatch watch = create("")) {
            Files.writeString(fault, "virtio-rng-pci\nvirtio-balloon-pci\n");
            stays(
                    pair.migrate(request()),
                    watch,
                    Guest.STOPPED_AND_RESUMED,
                    "required feature devices failed",
                    "QEMU ended itself over it",
                    "compare the QEMU versions of both nodes");
            Files.delete(fault);
            pair.moveOn();
        }
    }

    @Test
    void a_bridge_that_the_destination_has_not() throws Exception {
        at(Cable.End.A, "ip", "link", "add", "hfbr", "type", "bridge");
        try (MonitorWatch watch = create(nic("hft", "hfbr"))) {
            stays(pair.migrate(request()), watch, Guest.NEVER_STOPPED, "hfbr");
            MigrateResult evacuated =
                    pair.moveOn(request -> request.withPolicy(MigrateRequest.Policy.URGENT));
            assertThat(evacuated.migration().features())
                    .filteredOn(feature -> feature.name().equals("network"))
                    .singleElement()
                    .satisfies(
                            network -> {
                                assertThat(network.result()).isEqualTo("failed");
                                assertThat(network.detail())
                                        .contains("tap hft is on no bridge, expected hfbr");
                            });
            pair.moveOn();
            at(Cable.End.B, "ip", "link", "add", "hfbr", "type", "bridge");
            pair.moveOn();
        } finally {
            pair.clear();
            at(Cable.End.A, "ip", "link", "del", "hfbr");
            at(Cable.End.B, "ip", "link", "del", "hfbr");
        }
    }

    @Test
    void a_tap_that_another_domain_has_there_or_that_is_on_no_bridge() throws Exception {
        at(Cable.End.A, "ip", "link", "add", "hfbr", "type", "bridge");
        at(Cable.End.B, "ip", "link", "add", "hfbr", "type", "bridge");
        try (MonitorWatch watch = create(nic("hft", "hfbr"))) {
            DomainSource other = pair.hosts.firmwareGuest("h");
            String small = other.yaml().replace("64MiB", "16MiB");
            pair.b
                    .client()
                    .create(
                            new DomainSource(
                                    other.file(),
                                    small.replaceFirst("nics: .*", nic("hft", "hfbr"))));
            stays(pair.migrate(request()), watch, Guest.NEVER_STOPPED, "hft", "busy");
            // It is still the other's.
            at(Cable.End.B, "ip", "link", "show", "hft");
            pair.b.client().destroy("h");

            at(Cable.End.B, "ip", "tuntap", "add", "dev", "hft", "mode", "tap", "vnet_hdr");
            stays(
                    pair.migrate(request()),
                    watch,
                    Guest.NEVER_STOPPED,
                    "tap hft is on no bridge, expected hfbr; ip link set hft master hfbr");
            at(Cable.End.B, "ip", "link", "set", "hft", "master", "hfbr");
            pair.moveOn();
        } finally {
            pair.clear();
            at(Cable.End.B, "sh", "-c", "ip link del hft 2>/dev/null; ip link del hfbr");
            at(Cable.End.A, "ip", "link", "del", "hfbr");
        }
    }

    @Test
    void a_shared_image_that_somebody_takes_when_the_source_lets_go_of_it() throws Exception {
        Path image = pair.hosts.directory.resolve("g.img");
        Files.write(image, new byte[1 << 20]);
        try (MonitorWatch watch = create("disks: [" + image + "]");
                FileChannel file = FileChannel.open(image, StandardOpenOption.READ)) {
            CompletableFuture<String> moving;
            try (FileLock _ = file.lock(NOBODY_WRITES_BYTE, 1, true)) {
                moving = pair.migrate(request());
                // The guest cannot go on here either while it is held.
                MigratingPair.await(
                        "the destination to give up", () -> pair.b.client().list().isEmpty());
                MigratingPair.await(
                        "the reason",
                        () -> String.valueOf(pair.a.client().status("g")).contains("lock"));
            }
            stays(moving, watch, Guest.STOPPED_AND_RESUMED, "lock");
            pair.moveOn();
        }
    }

    @Test
    void a_read_only_image_that_is_not_there() throws Exception {
        Path image = hidden.resolve("cd.img");
        Files.write(image, new byte[1 << 20]);
        String disk = "disks: [{path: " + image + ", format: raw, access: read-only}]";
        try (MonitorWatch watch = create(disk)) {
            stays(pair.migrate(request()), watch, Guest.NEVER_STOPPED, image.toString());
            Path there = Path.of("/proc/" + pair.b.pid() + "/root" + image);
            Files.write(there, new byte[1 << 20]);
            pair.moveOn();
        }
    }

    @Test
    void a_writable_image_that_is_said_to_be_shared_and_is_not_there() throws Exception {
        Path image = hidden.resolve("disk.img");
        Files.write(image, new byte[1 << 16]);
        try (MonitorWatch watch = create("disks: [{path: " + image + ", format: raw}]")) {
            stays(
                    pair.migrate(request().withStorage(MigrateRequest.Storage.SHARED)),
                    watch,
                    Guest.NEVER_STOPPED,
                    "is not that of the source",
                    "without --storage shared it is copied");
            pair.moveOn();
        }
    }

    /** Whatever keeps them: here something is mounted over each, where the other daemon lives. */
    @Test
    void memory_devices_and_a_copied_disk_that_cannot_be_given_back_are_told_to_the_source()
            throws Exception {
        Path image = pair.hosts.directory.resolve("g.img");
        Files.write(image, new byte[1 << 20]);
        Path copy = pair.hosts.directory.resolve("b-replicas/g/disk0.raw");
        MigrationTest.hook(
                pair.hosts,
                "stick",
                """
                [ $1 = init ] || exit 0
                for f in %1$s/hf-g-*; do
                  if [ -d $f ]; then mount -t tmpfs hf-stick $f; else mount --bind /dev/null $f; fi
                done
                mount --bind /dev/null %2$s
                exit 7\
                """
                        .formatted(room.root(), copy));
        try (MonitorWatch watch = create("disks: [{path: " + image + ", format: raw}]")) {
            MigrateResult stayed =
                    pair.a
                            .client()
                            .migrate(
                                    pair.request(List.of("hook:stick"), 0, DEADLINE_MILLIS)
                                            .withStorage(MigrateRequest.Storage.COPY),
                                    ProgressListener.none());
            assertThat(stayed.outcome()).as(stayed.reason()).isEqualTo("stayed");
            assertThat(stayed.reason()).contains("hook:stick failed");
            for (String feature : List.of("memory", "devices", "disk")) {
                MigrationStatus.Feature told =
                        stayed.migration().features().stream()
                                .filter(each -> each.name().equals(feature))
                                .findFirst()
                                .orElseThrow();
                assertThat(told.result()).as(told.toString()).isEqualTo("down-failed");
                assertThat(told.detail()).contains("is left").containsIgnoringCase("busy");
            }
            assertThat(watch.said()).contains("\"RESUME\"");
            at(
                    Cable.End.B,
                    "sh",
                    "-c",
                    "exec nsenter --mount --target "
                            + pair.b.pid()
                            + " sh -c 'umount "
                            + copy
                            + " "
                            + room.root()
                            + "/hf-g-*; rm -r "
                            + copy
                            + " "
                            + room.root()
                            + "/hf-g-*'");
            pair.moveOn();
        }
    }

    /** A guest of firmware alone on a, and a monitor of it. */
    private MonitorWatch create(String line) throws IOException {
        DomainSource plain = pair.hosts.guestWith("g", MonitorWatch.line(socket));
        String yaml =
                line.startsWith("nics")
                        ? plain.yaml().replaceFirst("nics: .*", line)
                        : plain.yaml() + line + "\n";
        pair.a.client().create(new DomainSource(plain.file(), yaml));
        return MonitorWatch.on(socket);
    }

    private static String nic(String tap, String bridge) {
        return "nics: [{tap: " + tap + ", bridge: " + bridge + "}]";
    }

    private MigrateRequest request() {
        return pair.request(List.of(), 0, DEADLINE_MILLIS);
    }

    private void stays(
            CompletableFuture<String> moving, MonitorWatch watch, Guest guest, String... words)
            throws Exception {
        String result = moving.get(60, TimeUnit.SECONDS);
        System.out.println("FEATURE " + result);
        assertThat(result).doesNotStartWith("moved").contains(words);
        MigratingPair.await("the guest on a", () -> MigratingPair.runs(pair.a.client()));
        String said = watch.said();
        assertThat(said).contains("\"running\": true");
        switch (guest) {
            case NEVER_STOPPED -> assertThat(said).doesNotContain("\"STOP\"");
            case STOPPED_AND_RESUMED ->
                    assertThat(said.split("\"STOP\"", -1))
                            .hasSizeGreaterThan(1)
                            .hasSameSizeAs(said.split("\"RESUME\"", -1));
        }
        MigratingPair.await(
                "b to be clear",
                () -> pair.b.client().list().stream().noneMatch(d -> d.name().equals("g")));
        assertThat(pair.a.client().status("g").state()).isEqualTo(State.RUNNING);
    }

    private void at(Cable.End end, String... command) throws Exception {
        List<String> words = new ArrayList<>(cable.site(end, pair.hosts).within());
        words.addAll(List.of(command));
        Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as(words + ": " + said).isZero();
    }

    private static boolean isEmpty(Path directory) {
        try (var files = Files.list(directory)) {
            return files.findAny().isEmpty();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
