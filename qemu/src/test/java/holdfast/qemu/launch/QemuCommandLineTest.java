package holdfast.qemu.launch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import holdfast.qemu.launch.DomainSpec.Access;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Display;
import holdfast.qemu.launch.DomainSpec.Format;
import holdfast.qemu.launch.DomainSpec.Forward;
import holdfast.qemu.launch.DomainSpec.Kernel;
import holdfast.qemu.launch.DomainSpec.RandomDevice;
import holdfast.qemu.launch.DomainSpec.TapNic;
import holdfast.qemu.launch.DomainSpec.UserNic;

import org.junit.jupiter.api.Test;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.UUID;

class QemuCommandLineTest {
    private static final DomainSpec FULL =
            new DomainSpec(
                    "web",
                    UUID.fromString("4b8d0a1e-57a5-4c8e-9a80-3a9f4f0d3c11"),
                    256,
                    2,
                    "pc-q35-7.2",
                    Accelerator.AUTO,
                    Optional.of(Path.of("/fw.bin")),
                    Optional.of(
                            new Kernel(Path.of("/k"), Optional.of(Path.of("/i")), "quiet a=b,c")),
                    List.of(
                            new Disk(Path.of("/d,0.raw"), Format.RAW, Access.READ_WRITE),
                            new Disk(Path.of("/d1"), Format.QCOW2, Access.READ_ONLY)),
                    List.of(
                            new TapNic("52:54:00:aa:00:01", "tap0", Optional.of("br0")),
                            new UserNic("52:54:00:aa:00:02", List.of(new Forward(2222, 22)))),
                    RandomDevice.PRESENT,
                    Display.STD,
                    Optional.of(Path.of("/s.log")),
                    List.of("-cpu", "max"));
    private static final QemuFiles FILES =
            new QemuFiles(Path.of("/run/w"), Path.of("/dev/shm/w,r"));

    @Test
    void every_part_of_a_specification_has_its_arguments() {
        String line =
                String.join(
                        " ",
                        QemuCommandLine.of(
                                FULL, FILES, Accelerator.TCG, QemuCommandLine.Start.PAUSED));
        assertThat(line)
                .isEqualTo(
                        String.join(
                                " ",
                                "-nodefaults -no-user-config -display none -name guest=web",
                                "-uuid 4b8d0a1e-57a5-4c8e-9a80-3a9f4f0d3c11",
                                "-machine pc-q35-7.2,suppress-vmdesc=on,memory-backend=ram",
                                "-accel tcg -m 256M -smp 2",
                                "-object"
                                    + " memory-backend-file,id=ram,size=256M,mem-path=/dev/shm/w,,r,share=on",
                                "-global migration.send-configuration=off -bios /fw.bin",
                                "-kernel /k -initrd /i -append quiet a=b,c",
                                "-qmp unix:/run/w/qmp.sock,server=on,wait=off",
                                "-qmp unix:/run/w/qmp-oob.sock,server=on,wait=off",
                                "-serial file:/s.log -device VGA -device virtio-rng-pci",
                                "-blockdev driver=file,node-name=hf-disk0-file,"
                                        + "filename=/d,,0.raw,locking=on",
                                "-blockdev driver=raw,node-name=hf-disk0,file=hf-disk0-file",
                                "-device virtio-blk-pci,drive=hf-disk0,id=hf-vblk0",
                                "-blockdev driver=file,node-name=hf-disk1-file,"
                                        + "filename=/d1,locking=on,read-only=on",
                                "-blockdev driver=qcow2,node-name=hf-disk1,"
                                        + "file=hf-disk1-file,read-only=on",
                                "-device virtio-blk-pci,drive=hf-disk1,id=hf-vblk1",
                                "-netdev tap,id=net0,ifname=tap0,script=no,downscript=no,vhost=off",
                                "-device"
                                    + " virtio-net-pci,netdev=net0,id=nic0,mac=52:54:00:aa:00:01,romfile=",
                                "-netdev user,id=net1,hostfwd=tcp:127.0.0.1:2222-:22",
                                "-device"
                                    + " virtio-net-pci,netdev=net1,id=nic1,mac=52:54:00:aa:00:02,romfile=",
                                "-S -daemonize -pidfile /run/w/qemu.pid -cpu max"));
    }

    @Test
    void the_second_copy_differs_in_its_taps_alone() {
        DomainSpec other = FULL.withTaps(List.of("tap9"));
        assertThat(other.nics().get(0))
                .isEqualTo(new TapNic("52:54:00:aa:00:01", "tap9", Optional.of("br0")));
        assertThat(other.withTaps(List.of("tap0"))).isEqualTo(FULL);
        assertThatIllegalArgumentException().isThrownBy(() -> FULL.withTaps(List.of()));
    }

    @Test
    void a_specification_cannot_hold_what_qemu_would_misread() {
        for (String name : List.of("", "-x", "a,b", "a b", "a".repeat(64))) {
            assertThatIllegalArgumentException().isThrownBy(() -> DomainSpec.of(name, 64));
        }
        assertThatIllegalArgumentException().isThrownBy(() -> DomainSpec.of("a", 0));
        assertThatIllegalArgumentException().isThrownBy(() -> DomainSpec.of("a", (4 << 20) + 1));
        assertThatIllegalArgumentException().isThrownBy(() -> FULL.withVcpus(0));
        assertThatIllegalArgumentException().isThrownBy(() -> FULL.withSerial(Path.of("rel")));
        for (String mac : List.of("01:00:00:00:00:00", "52:54:00:AA:00:01", "52:54", "")) {
            assertThatIllegalArgumentException().isThrownBy(() -> new UserNic(mac, List.of()));
        }
        for (String tap : List.of("", "a,b", "a/b", "sixteen-letters-", "-x")) {
            assertThatIllegalArgumentException()
                    .isThrownBy(() -> new TapNic("52:54:00:00:00:01", tap, Optional.empty()));
        }
        assertThatIllegalArgumentException()
                .isThrownBy(
                        () -> new QemuFiles(Path.of("/" + "x".repeat(95)), Path.of("/dev/shm/r")));
    }

    @Test
    void two_disks_never_share_an_image_or_a_replica() {
        Disk disk = new Disk(Path.of("/d"), Format.RAW, Access.READ_WRITE);
        Disk reader = new Disk(Path.of("/d"), Format.RAW, Access.READ_ONLY);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FULL.withDisks(List.of(disk, reader)))
                .withMessage("disks: two have the same path");
        Disk qcow2 = new Disk(Path.of("/i/d"), Format.QCOW2, Access.READ_WRITE);
        assertThat(disk.replica()).hasToString("/d");
        assertThat(qcow2.replica()).hasToString("/i/d.raw");
        Disk there = new Disk(Path.of("/i/d.raw"), Format.RAW, Access.READ_WRITE);
        assertThatIllegalArgumentException()
                .isThrownBy(() -> FULL.withDisks(List.of(qcow2, there)))
                .withMessage("disks: two have the same replica");
    }

    @Test
    void a_format_that_was_not_found_out_starts_no_qemu() {
        DomainSpec unknown =
                FULL.withDisks(List.of(new Disk(Path.of("/d"), Format.AUTO, Access.READ_WRITE)));
        assertThatIllegalArgumentException()
                .isThrownBy(
                        () ->
                                QemuCommandLine.of(
                                        unknown,
                                        FILES,
                                        Accelerator.TCG,
                                        QemuCommandLine.Start.PAUSED))
                .withMessageContaining("/d");
    }
}
