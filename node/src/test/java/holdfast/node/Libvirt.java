package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;
import holdfast.node.api.DomainStatus;
import holdfast.qemu.launch.ProcessIdentity;

import org.junit.jupiter.api.Assumptions;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * A libvirtd with directories of its own, in a mount namespace, on a host of a test. Its QEMU runs
 * as the user that the distribution has for it. Needs the machine's root.
 */
final class Libvirt implements AutoCloseable {
    /** What the domain is called. */
    static final String DOMAIN = "web";

    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final String PATHS = System.getenv("PATH") + ":/usr/sbin:/sbin";

    /**
     * Its files lie where libvirt has them, on top of what the machine's own one has there. A KVM
     * that root may open and QEMU's user not keeps it asking QEMU what that can do, without an end.
     */
    private static final String START =
            """
            set -e
            for d in /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do
              mkdir -p $d "$1$d"
            done
            for d in qemu/networks hooks; do mkdir -p "$1/etc/libvirt/$d"; done
            for d in /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do
              mount --bind "$1$d" $d
            done
            : >"$1/no-kvm"
            chmod 0 "$1/no-kvm"
            [ ! -e /dev/kvm ] || mount --bind "$1/no-kvm" /dev/kvm
            virtlogd --timeout 300 --pid-file /run/libvirt/virtlogd.pid &
            exec libvirtd --pid-file /run/libvirt/libvirtd.pid
            """;

    private static final String XML =
            """
            <domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
              <name>web</name>
              <memory unit='MiB'>96</memory>
              <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
              <os>
                <type arch='x86_64' machine='q35'>hvm</type>
                <kernel>HOME/vmlinuz</kernel>
                <initrd>HOME/initrd.gz</initrd>
                <cmdline>console=ttyS0 panic=1 hf.ip=GUEST/24 hf.redis=on hf.diskwriter=vda,SLOTS,3</cmdline>
              </os>
              <features><acpi/></features>
              <devices>
                <emulator>QEMU</emulator>
                <disk type='file' device='disk'>
                  <driver name='qemu' type='qcow2'/>
                  <source file='HOME/disk.qcow2'/>
                  <target dev='vda' bus='virtio'/>
                </disk>
                <disk type='file' device='disk'>
                  <driver name='qemu' type='raw'/>
                  <source file='HOME/more.raw'/>
                  <target dev='vdb' bus='virtio'/>
                </disk>
                <interface type='bridge'>
                  <source bridge='br0'/>
                  <target dev='web0'/>
                  <model type='virtio'/>
                  <driver name='qemu'/>
                </interface>
                <serial type='file'><source path='HOME/serial'/></serial>
                <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
                <graphics type='vnc' autoport='yes'/>
                <video><model type='vga'/></video>
                <memballoon model='none'/>
              </devices>
              <qemu:commandline>
                <qemu:arg value='-machine'/>
                <qemu:arg value='suppress-vmdesc=on'/>
                <qemu:arg value='-global'/>
                <qemu:arg value='migration.send-configuration=off'/>
                <qemu:arg value='-qmp'/>
                <qemu:arg value='unix:HOME/qmp,server=on,wait=off'/>
              </qemu:commandline>
            </domain>
            """;

    private final TestDaemon.Site site;
    private final Path home;
    private final Path names;
    private Process daemon;

    /**
     * @param site a namespace with a bridge {@code br0}
     * @param guest the guest's address
     */
    Libvirt(TestHosts hosts, TestDaemon.Site site, String guest) throws Exception {
        Assumptions.assumeTrue(
                installed("libvirtd") && installed("virtlogd") && installed("virsh"),
                "libvirt is not installed: scripts/libvirt-test.sh does");
        Assumptions.assumeTrue(
                Files.readString(Path.of("/proc/self/uid_map"))
                        .strip()
                        .matches("0\\s+0\\s+4294967295"),
                "libvirtd wants root outside a user namespace");
        this.site = site;
        // QEMU's user must reach what is in there.
        for (Path directory : List.of(hosts.directory, hosts.ram)) {
            Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwx--x--x"));
        }
        home = Files.createDirectory(hosts.directory.resolve("libvirt"));
        Files.setPosixFilePermissions(home, PosixFilePermissions.fromString("rwxrwxrwx"));
        Path boot = DiskGuest.bootFiles();
        for (String file : List.of("vmlinuz", "initrd.gz")) {
            Files.copy(boot.resolve(file), home.resolve(file), StandardCopyOption.REPLACE_EXISTING);
        }
        LoopDevice.run(
                List.of("qemu-img", "create", "-q", "-f", "qcow2", image().toString(), "32M"));
        LoopDevice.run(List.of("truncate", "-s", "8M", home.resolve("more.raw").toString()));
        Files.writeString(
                home.resolve("web.xml"),
                XML.replace("HOME", home.toString())
                        .replace("GUEST", guest)
                        .replace("QEMU", program("qemu-system-x86_64").orElseThrow().toString())
                        .replace("SLOTS", Integer.toString(DiskGuest.SLOTS)));
        Path etc = Files.createDirectories(home.resolve("etc/libvirt/hooks"));
        names = home.resolve("names");
        Files.writeString(names, "");
        Files.writeString(
                etc.resolveSibling("qemu.conf"),
                // A private /dev of QEMU's cannot have the file that is mounted on KVM.
                "security_driver = \"none\"\nstdio_handler = \"logd\"\nnamespaces = []\n");
        Path told = executable(home.resolve("holdfast"), "exec cat " + names);
        executable(
                etc.resolve("qemu"),
                "HOLDFAST=%s exec %s \"$@\""
                        .formatted(told, Path.of("../examples/libvirt-hook").toRealPath()));
        start();
    }

    private static Path executable(Path script, String line) throws IOException {
        Files.writeString(script, "#!/bin/sh\n" + line + "\n");
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
        return script;
    }

    private static boolean installed(String program) {
        return program(program).isPresent();
    }

    private static Optional<Path> program(String name) {
        return List.of(PATHS.split(":")).stream()
                .map(place -> Path.of(place, name))
                .filter(Files::isExecutable)
                .findFirst();
    }

    private void start() throws Exception {
        List<String> command = new ArrayList<>(site.within());
        command.addAll(
                List.of(
                        "unshare",
                        "--mount",
                        "--propagation",
                        "private",
                        "sh",
                        "-c",
                        START,
                        "libvirt",
                        home.toString()));
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().put("PATH", PATHS);
        builder.redirectErrorStream(true);
        builder.redirectOutput(
                ProcessBuilder.Redirect.appendTo(home.resolve("libvirtd.log").toFile()));
        daemon = builder.start();
        long until = System.nanoTime() + LIMIT.toNanos();
        while (virsh("version").status() != 0) {
            assertThat(System.nanoTime() - until)
                    .as(() -> "libvirtd answers: " + log())
                    .isNegative();
            Thread.sleep(100);
        }
    }

    private String log() {
        try {
            return Files.readString(home.resolve("libvirtd.log"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Ends libvirtd and starts it again; its guests do not notice. */
    void restart() throws Exception {
        stop();
        start();
    }

    private void stop() throws InterruptedException {
        daemon.destroy();
        assertThat(daemon.waitFor(LIMIT.toSeconds(), TimeUnit.SECONDS)).isTrue();
    }

    /** What a command of virsh said, and its exit status. */
    record Said(int status, String text) {}

    Said virsh(String... words) throws Exception {
        List<String> command =
                new ArrayList<>(
                        List.of(
                                "timeout",
                                Long.toString(LIMIT.toSeconds()),
                                "virsh",
                                "-c",
                                "qemu+unix:///system?socket="
                                        + home.resolve("run/libvirt/libvirt-sock")));
        command.addAll(List.of(words));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Said(process.waitFor(), said.strip());
    }

    /** What it says where it succeeds. */
    String done(String... words) throws Exception {
        Said said = virsh(words);
        assertThat(said.status()).as("virsh %s: %s", List.of(words), said.text()).isZero();
        return said.text();
    }

    void defineAndStart() throws Exception {
        done("define", home.resolve("web.xml").toString());
        done("start", DOMAIN);
    }

    /** As {@code vdc}, while it runs. */
    void attachDisk() throws Exception {
        Path disk = home.resolve("plugged.raw");
        LoopDevice.run(List.of("truncate", "-s", "1M", disk.toString()));
        done("attach-disk", DOMAIN, disk.toString(), "vdc", "--live");
    }

    /** What {@code holdfast list --names} says to libvirt's hook from here on. */
    void tellHook(List<DomainStatus> domains) throws IOException {
        Files.writeString(
                names,
                domains.stream().map(domain -> domain.name() + "\n").collect(Collectors.joining()));
    }

    Path monitor() {
        return home.resolve("qmp");
    }

    Path image() {
        return home.resolve("disk.qcow2");
    }

    DiskGuest guest() {
        return new DiskGuest(new DomainSource("none", ""), image(), home.resolve("serial"));
    }

    /** QEMU's process. */
    ProcessIdentity process() throws Exception {
        long pid =
                Long.parseLong(Files.readString(home.resolve("run/libvirt/qemu/web.pid")).strip());
        return ProcessIdentity.of(pid).orElseThrow();
    }

    @Override
    public void close() {
        try {
            virsh("destroy", DOMAIN);
            stop();
            Path logger = home.resolve("run/libvirt/virtlogd.pid");
            if (Files.exists(logger)) {
                ProcessIdentity.of(Long.parseLong(Files.readString(logger).strip()))
                        .ifPresent(process -> process.kill(LIMIT));
            }
        } catch (Exception e) {
            throw new AssertionError("cleaning up libvirt", e);
        }
    }
}
