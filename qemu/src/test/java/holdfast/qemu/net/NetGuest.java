package holdfast.qemu.net;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import holdfast.qemu.GuestImage;
import holdfast.qemu.qmp.QmpClient;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;

/**
 * A Redis guest with a NIC: on a tap at a bridge in a network namespace of its own, or on user
 * networking. It also answers every datagram to {@link #ECHO_PORT} with the same datagram.
 */
final class NetGuest implements AutoCloseable {
    static final String ADDRESS = "10.77.0.10";
    static final int REDIS_PORT = 6379;
    static final int ECHO_PORT = 7007;
    private static final long READY_NANOS = TimeUnit.SECONDS.toNanos(120);

    /** Runs before the guest's own init, from a second archive behind the initramfs. */
    private static final String FIRST_PROCESS =
            """
            #!/bin/busybox sh
            /bin/busybox mount -t devtmpfs dev /dev
            /echo-server &
            exec /bin/busybox sh /init
            """;

    /**
     * x86-64: socket(INET, DGRAM), bind port 7007, then for ever recvfrom and sendto the same
     * bytes.
     */
    private static final String ECHO_CODE =
            "b829000000bf02000000be0200000031d20f0589c34881ec0020010048c70424"
                    + "02001b5f48c744240800000000b83100000089df4889e6ba100000000f05c744"
                    + "241010000000b82d00000089df488d742420ba000001004531d24989e04c8d4c"
                    + "24100f0585c078d689c2b82c00000089df488d7424204531d24989e041b91000"
                    + "00000f05ebb8";

    final Path directory;
    final Path qmpSocket;
    QmpClient qmp;
    final Nic nic;
    private final String namespace;
    private final Process qemu;
    private final Path serial;

    private NetGuest(String namespace, List<String> netdev, String address, Nic nic)
            throws IOException {
        this.namespace = namespace;
        this.nic = nic;
        this.directory = Files.createTempDirectory("hfn");
        this.qmpSocket = directory.resolve("qmp");
        this.serial = directory.resolve("serial");
        GuestImage image = GuestImage.find();
        Path initrd = directory.resolve("initrd");
        ByteArrayOutputStream archive = new ByteArrayOutputStream();
        archive.writeBytes(Files.readAllBytes(image.initrd()));
        pad(archive);
        entry(archive, "echo-server", 0100755, executable(HexFormat.of().parseHex(ECHO_CODE)));
        entry(archive, "echo-init", 0100755, FIRST_PROCESS.getBytes(StandardCharsets.UTF_8));
        entry(archive, "TRAILER!!!", 0, new byte[0]);
        Files.write(initrd, archive.toByteArray());
        List<String> command = new ArrayList<>();
        if (!namespace.isEmpty()) {
            run("ip", "netns", "add", namespace);
            inNamespace("ip", "link", "set", "lo", "up");
            inNamespace("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0");
            inNamespace("ip", "addr", "add", "10.77.0.1/24", "dev", "br0");
            inNamespace("ip", "tuntap", "add", "dev", "tap0", "mode", "tap", "vnet_hdr");
            inNamespace("ip", "link", "set", "tap0", "master", "br0", "up");
            inNamespace("ip", "link", "set", "br0", "up");
            command.addAll(List.of("ip", "netns", "exec", namespace));
        }
        command.addAll(
                List.of(
                        "qemu-system-x86_64",
                        "-machine",
                        "q35,suppress-vmdesc=on",
                        "-accel",
                        "tcg",
                        "-m",
                        "192",
                        "-nodefaults",
                        "-display",
                        "none",
                        "-kernel",
                        image.kernel().toString(),
                        "-initrd",
                        initrd.toString(),
                        "-append",
                        "console=ttyS0 quiet panic=5 rdinit=/echo-init hf.redis=on hf.ip="
                                + address,
                        "-serial",
                        "file:" + serial,
                        "-qmp",
                        "unix:" + qmpSocket + ",server=on,wait=off",
                        "-netdev"));
        command.addAll(netdev);
        command.addAll(
                List.of("-device", "virtio-net-pci,netdev=n0,mac=52:54:00:77:00:10,romfile="));
        this.qemu =
                new ProcessBuilder(command)
                        .redirectErrorStream(true)
                        .redirectOutput(directory.resolve("qemu.log").toFile())
                        .start();
        try {
            awaitReady();
            this.qmp = QmpClient.connect(qmpSocket, Duration.ofSeconds(10));
        } catch (IOException | RuntimeException e) {
            end();
            throw e;
        }
    }

    static NetGuest onTap() throws IOException {
        String namespace = "hfn" + ProcessHandle.current().pid() + "x" + System.nanoTime() % 10_000;
        return new NetGuest(
                namespace,
                List.of("tap,id=n0,ifname=tap0,script=no,downscript=no,vhost=off"),
                ADDRESS + "/24",
                new Nic(0, "n0", 12));
    }

    static NetGuest onUserNetworking(int redisPortHere) throws IOException {
        return new NetGuest(
                "",
                List.of(
                        "user,id=n0,hostfwd=tcp:127.0.0.1:"
                                + redisPortHere
                                + "-10.0.2.15:"
                                + REDIS_PORT),
                "10.0.2.15/24 hf.gateway=10.0.2.2",
                new Nic(0, "n0", 0));
    }

    /** Starts a test program of this package on the guest's network. */
    NetClient client(Class<?> program, String... arguments) throws IOException {
        List<String> command = new ArrayList<>();
        if (!namespace.isEmpty()) {
            command.addAll(List.of("ip", "netns", "exec", namespace));
        }
        command.addAll(
                List.of(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:+UseSerialGC",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        program.getName()));
        command.addAll(List.of(arguments));
        return new NetClient(command);
    }

    /** The monitor serves one client at a time. */
    void reconnect() {
        qmp.close();
        qmp = QmpClient.connect(qmpSocket, Duration.ofSeconds(10));
    }

    /** The barrier of a checkpoint: stop, then one more command. */
    void suspend() {
        qmp.execute("stop");
        qmp.execute("query-status");
    }

    void resume() {
        qmp.execute("cont");
    }

    private void awaitReady() throws IOException {
        long start = System.nanoTime();
        while (!Files.exists(serial) || !Files.readString(serial).contains(GuestImage.READY)) {
            if (!qemu.isAlive() || System.nanoTime() - start > READY_NANOS) {
                throw new IllegalStateException(
                        "guest not ready: "
                                + Files.readString(directory.resolve("qemu.log"))
                                + (Files.exists(serial) ? Files.readString(serial) : ""));
            }
            LockSupport.parkNanos(20_000_000);
        }
    }

    private void inNamespace(String... command) throws IOException {
        List<String> whole = new ArrayList<>(List.of("ip", "netns", "exec", namespace));
        whole.addAll(List.of(command));
        run(whole.toArray(String[]::new));
    }

    private static void run(String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (!process.waitFor(10, TimeUnit.SECONDS) || process.exitValue() != 0) {
                throw new IOException(String.join(" ", command) + ": " + said);
            }
        } catch (InterruptedException e) {
            throw new IOException("interrupted", e);
        }
    }

    /** The smallest ELF file: one header, one loaded segment, code. */
    private static byte[] executable(byte[] code) {
        int headersBytes = 64 + 56;
        long address = 0x400000;
        ByteBuffer elf = ByteBuffer.allocate(headersBytes + code.length).order(LITTLE_ENDIAN);
        elf.putInt(0x464c457f).putInt(0x00010102).putLong(0);
        elf.putShort((short) 2).putShort((short) 62).putInt(1);
        elf.putLong(address + headersBytes).putLong(64).putLong(0).putInt(0);
        elf.putShort((short) 64).putShort((short) 56).putShort((short) 1);
        elf.putShort((short) 64).putInt(0);
        elf.putInt(1).putInt(5).putLong(0).putLong(address).putLong(address);
        elf.putLong(elf.capacity()).putLong(elf.capacity()).putLong(4096);
        return elf.put(code).array();
    }

    /** One file of a cpio archive (newc). */
    private static void entry(ByteArrayOutputStream archive, String name, int mode, byte[] bytes) {
        int[] fields = {1, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length() + 1, 0};
        StringBuilder header = new StringBuilder("070701");
        for (int field : fields) {
            header.append("%08X".formatted(field));
        }
        archive.writeBytes((header + name + "\0").getBytes(StandardCharsets.US_ASCII));
        pad(archive);
        archive.writeBytes(bytes);
        pad(archive);
    }

    private static void pad(ByteArrayOutputStream archive) {
        while (archive.size() % 4 != 0) {
            archive.write(0);
        }
    }

    private void end() throws IOException {
        qemu.destroyForcibly();
        try {
            qemu.waitFor(10, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (!namespace.isEmpty()) {
            run("ip", "netns", "del", namespace);
        }
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    @Override
    public void close() {
        if (qmp != null) {
            qmp.close();
        }
        try {
            end();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
