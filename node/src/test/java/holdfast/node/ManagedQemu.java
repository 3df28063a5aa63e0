package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;
import holdfast.qemu.launch.ProcessIdentity;
import holdfast.qemu.launch.QemuProcess;
import holdfast.qemu.qmp.QmpClient;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A QEMU started as libvirt 9 starts one: stopped, in a sandbox, with its options as JSON, with a
 * monitor whose listening socket was passed to it and whose only connection the one who started it
 * keeps. What libvirt has to be told beside its own options, by {@code qemu:commandline}, is the
 * second monitor, {@code send-configuration} and {@code suppress-vmdesc}.
 *
 * @spec https://libvirt.org/formatdomain.html Domain XML format
 * @param operator the first monitor, as the management system has it
 * @param monitor to attach to
 */
record ManagedQemu(
        QmpClient operator, Path monitor, Path image, DiskGuest guest, ProcessIdentity process)
        implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    private static final int MEMORY_MIB = 96;

    /**
     * Passes listening sockets on, as descriptors 20 and 21, and a tap as 22, and stays the parent.
     * TUNSETIFF with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR.
     */
    private static final String PARENT =
            """
            use Socket; use POSIX ();
            $^F = 255;
            for my $n (20, 21) {
              my $path = shift @ARGV;
              my $s;
              socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, sockaddr_un($path))
                && listen($s, 1) or die "$path: $!";
              POSIX::dup2(fileno($s), $n) or die $!;
            }
            my $tap = shift @ARGV;
            if ($tap ne '') {
              open(my $tun, '+<', '/dev/net/tun') or die $!;
              ioctl($tun, 0x400454ca, pack('a16 S x22', $tap, 0x5002)) or die "$tap: $!";
              POSIX::dup2(fileno($tun), 22) or die $!;
              close($tun);
              system('ip', 'link', 'set', $tap, 'master', 'br0', 'up') == 0 or die;
            }
            my $child = fork;
            if ($child == 0) { exec @ARGV or die $!; }
            POSIX::close($_) for (20, 21, 22);
            waitpid $child, 0;
            """;

    private static final String USER = "{\"type\":\"user\",\"id\":\"hostnet0\"}";
    private static final String TAP = "{\"type\":\"tap\",\"fd\":\"22\",\"id\":\"hostnet0\"}";

    /** What main memory is made of; RAM stands for a file's path. */
    enum Memory {
        FILE(
                """
                {"qom-type":"memory-backend-file","id":"pc.ram","mem-path":"RAM","share":true,\
                "x-use-canonical-path-for-ramblock-id":false,"size":%d}\
                """),
        MEMFD(
                """
                {"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,\
                "x-use-canonical-path-for-ramblock-id":false,"size":%d}\
                """);

        private final String object;

        Memory(String object) {
            this.object = object;
        }

        /** Without a name, where this machine's QEMU leaves that out of its state. */
        static Memory nameless() throws IOException {
            return isLeftOut() ? MEMFD : FILE;
        }

        static boolean isLeftOut() throws IOException {
            return LoopDevice.run(List.of(QemuProcess.BINARY, "--version")).contains("version 7.");
        }
    }

    /** In this network namespace, with a network of its own. */
    static ManagedQemu start(TestHosts hosts, Memory memory) throws Exception {
        return start(hosts, memory, List.of(), "", "");
    }

    /**
     * @param within the command that runs another one in a network namespace with a bridge {@code
     *     br0}
     * @param tap that is made there, connected to it, and passed; empty for none
     * @param kernel more for the guest's command line
     */
    static ManagedQemu start(
            TestHosts hosts, Memory memory, List<String> within, String tap, String kernel)
            throws Exception {
        Path boot = DiskGuest.bootFiles();
        Path theirs = Files.createDirectories(hosts.directory.resolve("theirs"));
        Path first = theirs.resolve("monitor.sock");
        Path second = theirs.resolve("qmp");
        Path pid = theirs.resolve("pid");
        Path serial = theirs.resolve("serial");
        Path image = theirs.resolve("disk.qcow2");
        Path key = Files.write(theirs.resolve("master-key.aes"), new byte[32]);
        LoopDevice.run(List.of("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), "32M"));
        List<String> command = new ArrayList<>(within);
        command.addAll(
                List.of(
                        "perl",
                        "-e",
                        PARENT,
                        first.toString(),
                        theirs.resolve("agent.sock").toString(),
                        tap,
                        QemuProcess.BINARY));
        command.addAll(
                words(
                        """
                        -name guest=web,debug-threads=on
                        -S
                        -object {"qom-type":"secret","id":"masterKey0","format":"raw","file":"KEY"}
                        -machine q35,usb=off,vmport=off,hpet=off,dump-guest-core=off,memory-backend=pc.ram
                        -accel tcg
                        -cpu qemu64
                        -m size=%dk
                        -object MEMORY
                        -overcommit mem-lock=off
                        -smp 1,sockets=1,cores=1,threads=1
                        -uuid 2f1c7a52-3a0e-4c43-9d3f-1c5b3f0b7a11
                        -no-user-config
                        -nodefaults
                        -chardev socket,id=charmonitor,fd=20,server=on,wait=off
                        -mon chardev=charmonitor,id=monitor,mode=control
                        -rtc base=utc,driftfix=slew
                        -no-shutdown
                        -global ICH9-LPC.disable_s3=1
                        -global ICH9-LPC.disable_s4=1
                        -boot strict=on
                        -device {"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0","multifunction":true,"addr":"0x2"}
                        -device {"driver":"pcie-root-port","port":17,"chassis":2,"id":"pci.2","bus":"pcie.0","addr":"0x2.0x1"}
                        -device {"driver":"pcie-root-port","port":18,"chassis":3,"id":"pci.3","bus":"pcie.0","addr":"0x2.0x2"}
                        -device {"driver":"pcie-root-port","port":19,"chassis":4,"id":"pci.4","bus":"pcie.0","addr":"0x2.0x3"}
                        -device {"driver":"qemu-xhci","p2":15,"p3":15,"id":"usb","bus":"pci.1","addr":"0x0"}
                        -device {"driver":"virtio-serial-pci","id":"virtio-serial0","bus":"pci.2","addr":"0x0"}
                        -blockdev {"driver":"file","filename":"IMAGE","node-name":"libvirt-1-storage","auto-read-only":true,"discard":"unmap"}
                        -blockdev {"node-name":"libvirt-1-format","read-only":false,"driver":"qcow2","file":"libvirt-1-storage","backing":null}
                        -device {"driver":"virtio-blk-pci","bus":"pci.3","addr":"0x0","drive":"libvirt-1-format","id":"virtio-disk0","bootindex":1}
                        -netdev NETWORK
                        -device {"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:6b:3c:58","bus":"pci.4","addr":"0x0"}
                        -chardev file,id=charserial0,path=SERIAL
                        -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0}
                        -chardev socket,id=charchannel0,fd=21,server=on,wait=off
                        -device {"driver":"virtserialport","bus":"virtio-serial0.0","nr":1,"chardev":"charchannel0","id":"channel0","name":"org.qemu.guest_agent.0"}
                        -device {"driver":"usb-tablet","id":"input0","bus":"usb.0","port":"1"}
                        -audiodev {"id":"audio1","driver":"none"}
                        -vnc unix:VNC,audiodev=audio1
                        -device {"driver":"VGA","id":"video0","vgamem_mb":16,"bus":"pcie.0","addr":"0x1"}
                        -global ICH9-LPC.noreboot=off
                        -watchdog-action reset
                        -object {"qom-type":"rng-random","id":"objrng0","filename":"/dev/urandom"}
                        -device {"driver":"virtio-rng-pci","rng":"objrng0","id":"rng0","bus":"pcie.0","addr":"0x3"}
                        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
                        -msg timestamp=on
                        -machine suppress-vmdesc=on
                        -global migration.send-configuration=off
                        -qmp unix:QMP,server=on,wait=off
                        -pidfile PID
                        """
                                .formatted(MEMORY_MIB << 10)
                                .replace("MEMORY", memory.object.formatted(MEMORY_MIB << 20))
                                .replace("NETWORK", tap.isEmpty() ? USER : TAP)
                                .replace("KEY", key.toString())
                                .replace("RAM", hosts.ram.resolve("theirs").toString())
                                .replace("IMAGE", image.toString())
                                .replace("SERIAL", serial.toString())
                                .replace("VNC", theirs.resolve("vnc").toString())
                                .replace("QMP", second.toString())
                                .replace("PID", pid.toString())));
        command.addAll(
                List.of(
                        "-kernel",
                        boot.resolve("vmlinuz").toString(),
                        "-initrd",
                        boot.resolve("initrd.gz").toString(),
                        "-append",
                        "console=ttyS0 panic=1 hf.diskwriter=vda,%d,3 %s"
                                .formatted(DiskGuest.SLOTS, kernel)));
        new ProcessBuilder(command).inheritIO().start();
        long until = System.nanoTime() + LIMIT.toNanos();
        while (!Files.exists(second) || !Files.exists(pid) || Files.size(pid) == 0) {
            assertThat(System.nanoTime() - until).as("QEMU starts").isNegative();
            Thread.sleep(10);
        }
        QmpClient operator = QmpClient.connect(first, LIMIT);
        operator.execute("cont");
        return new ManagedQemu(
                operator,
                second,
                image,
                new DiskGuest(new DomainSource("none", ""), image, serial),
                ProcessIdentity.of(Long.parseLong(Files.readString(pid).strip())).orElseThrow());
    }

    private static List<String> words(String options) {
        List<String> words = new ArrayList<>();
        for (String line : options.lines().toList()) {
            words.addAll(List.of(line.split(" ", 2)));
        }
        return words;
    }

    /** What the disk holds, as a raw image. */
    Path converted(Path into) throws IOException {
        LoopDevice.run(
                List.of("qemu-img", "convert", "-O", "raw", image.toString(), into.toString()));
        return into;
    }

    @Override
    public void close() {
        operator.close();
        process.kill(LIMIT);
    }
}
