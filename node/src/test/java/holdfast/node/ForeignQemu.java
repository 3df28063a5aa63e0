package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.NodeApi;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.launch.QemuProcess;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A QEMU with a disk, started as a script would, with a monitor and files of its own.
 *
 * @param monitor to attach to
 * @param operator a second monitor
 */
record ForeignQemu(
        Path monitor, Path operator, Path image, DiskGuest guest, ProcessIdentity process)
        implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    /**
     * With the guest of {@link DiskGuest}, on {@code vda}.
     *
     * @param kind raw, qcow2 or chain, a qcow2 image above a raw one
     * @param words what makes the disk: IMAGE stands for its image, OTHER for another, empty one.
     *     They also make the monitor to attach to where they name its socket, MONITOR
     */
    static ForeignQemu withDiskGuest(TestHosts hosts, String kind, String words) throws Exception {
        Path boot = DiskGuest.bootFiles();
        return start(
                hosts,
                "q35",
                96,
                image(directory(hosts), kind),
                List.of(
                        "-kernel",
                        boot.resolve("vmlinuz").toString(),
                        "-initrd",
                        boot.resolve("initrd.gz").toString(),
                        "-append",
                        "console=ttyS0 panic=1 hf.diskwriter=vda,%d,3".formatted(DiskGuest.SLOTS)),
                words);
    }

    /** Boots from the disk that {@code words} make of IMAGE. */
    static ForeignQemu booting(TestHosts hosts, String machine, byte[] sectors, String words)
            throws Exception {
        Path image = Files.write(directory(hosts).resolve("disk.raw"), sectors);
        return start(hosts, machine, 96, image, List.of(), words);
    }

    /**
     * With a Linux that has drivers for all kinds of disks.
     *
     * @param append what it is told to do, besides {@code console=}
     * @param words what makes the disk of IMAGE
     */
    static ForeignQemu withStorageGuest(TestHosts hosts, byte[] disk, String append, String words)
            throws Exception {
        Path boot = DiskGuest.bootFiles("HOLDFAST_STORAGE_GUEST_DIR", "--storage");
        return start(
                hosts,
                "q35",
                192,
                Files.write(directory(hosts).resolve("disk.raw"), disk),
                List.of(
                        "-kernel",
                        boot.resolve("vmlinuz").toString(),
                        "-initrd",
                        boot.resolve("initrd.gz").toString(),
                        "-append",
                        "console=ttyS0 panic=1 quiet " + append),
                words);
    }

    private static Path directory(TestHosts hosts) throws IOException {
        return Files.createDirectories(hosts.directory.resolve("theirs"));
    }

    private static ForeignQemu start(
            TestHosts hosts,
            String machine,
            int mebibytes,
            Path image,
            List<String> boot,
            String words)
            throws Exception {
        Path theirs = directory(hosts);
        Path monitor = theirs.resolve("qmp");
        Path operator = theirs.resolve("qmp2");
        Path pid = theirs.resolve("pid");
        Path serial = theirs.resolve("serial");
        Path other = theirs.resolve("other.raw");
        LoopDevice.run(List.of("truncate", "-s", "1M", other.toString()));
        List<String> command =
                new ArrayList<>(
                        List.of(
                                QemuProcess.BINARY,
                                "-name",
                                "theirs",
                                "-nodefaults",
                                "-machine",
                                machine + ",accel=tcg,memory-backend=main,suppress-vmdesc=on",
                                "-m",
                                Integer.toString(mebibytes),
                                "-object",
                                "memory-backend-file,id=main,size="
                                        + mebibytes
                                        + "M,share=on,mem-path="
                                        + hosts.ram.resolve("theirs"),
                                "-global",
                                "migration.send-configuration=off",
                                "-nographic",
                                "-serial",
                                "file:" + serial,
                                "-qmp",
                                "unix:" + operator + ",server=on,wait=off",
                                "-pidfile",
                                pid.toString()));
        command.addAll(boot);
        if (!words.contains("MONITOR")) {
            command.addAll(List.of("-qmp", "unix:" + monitor + ",server=on,wait=off"));
        }
        command.addAll(
                List.of(
                        words.replace("IMAGE", image.toString())
                                .replace("OTHER", other.toString())
                                .replace("MONITOR", monitor.toString())
                                .split(" ")));
        // No daemon: QEMU's own parent is whoever started it, as with a management system. That is
        // not this process, which could not trace it then.
        List<String> parent = new ArrayList<>(List.of("sh", "-c", "\"$0\" \"$@\" & wait"));
        parent.addAll(command);
        long until = System.nanoTime() + LIMIT.toNanos();
        try (FileWatch started = FileWatch.in(theirs)) {
            new ProcessBuilder(parent).inheritIO().start();
            while (!Files.exists(operator)
                    || !Files.exists(monitor)
                    || !Files.exists(pid)
                    || Files.size(pid) == 0) {
                started.awaitWrite(until);
            }
        }
        return new ForeignQemu(
                monitor,
                operator,
                image,
                new DiskGuest(new DomainSource("none", ""), image, serial),
                ProcessIdentity.of(Long.parseLong(Files.readString(pid).strip())).orElseThrow());
    }

    private static Path image(Path directory, String kind) throws IOException {
        Path raw = directory.resolve("disk.raw");
        LoopDevice.run(List.of("truncate", "-s", "32M", raw.toString()));
        Path image = directory.resolve("disk.qcow2");
        List<String> create = new ArrayList<>(List.of("qemu-img", "create", "-q", "-f", "qcow2"));
        switch (kind) {
            case "raw" -> {
                return raw;
            }
            case "qcow2" -> create.addAll(List.of(image.toString(), "32M"));
            case "chain" ->
                    create.addAll(List.of("-b", raw.toString(), "-F", "raw", image.toString()));
            default -> throw new IllegalArgumentException(kind);
        }
        LoopDevice.run(create);
        return image;
    }

    /** The guest of a copy speaks to nobody: its disk is looked at. */
    static void awaitWritten(NodeApi node, Path image) throws Exception {
        awaitWritten(image);
        assertThat(node.list()).anyMatch(domain -> domain.state() == State.RUNNING);
    }

    static void awaitWritten(Path image) throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        try (FileWatch writes = FileWatch.of(image)) {
            for (int seen = 0; seen < 10; seen++) {
                writes.awaitWrite(until);
            }
        }
    }

    @Override
    public void close() {
        process.kill(LIMIT);
    }
}
