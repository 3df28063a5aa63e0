package holdfast.qemu.launch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;
import holdfast.qemu.launch.DomainSpec.Access;
import holdfast.qemu.launch.DomainSpec.Disk;
import holdfast.qemu.launch.DomainSpec.Format;
import holdfast.qemu.launch.QemuCommandLine.Start;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

class StandbyCommandLineTest {
    private static final QemuFiles FILES =
            new QemuFiles(Path.of("/run/w"), Path.of("/dev/shm/w,r"));
    private static final String RAM =
            "-object memory-backend-file,id=m,size=64M,mem-path=/dev/shm/x,share=on";
    private static final String COPIED_RAM =
            "-object qom-type=memory-backend-file,id=m,size=64M,mem-path=/dev/shm/w,,r,share=on";
    private static final Path REPLICA = Path.of("/r,1");
    private static final String ENDS =
            "-display none -monitor none -qmp unix:/run/w/qmp.sock,server=on,wait=off"
                    + " -qmp unix:/run/w/qmp-oob.sock,server=on,wait=off"
                    + " -S -daemonize -pidfile /run/w/qemu.pid";

    @Test
    void a_machine_of_a_management_system_has_a_copy_on_its_own_files() {
        assertThat(
                        copy(
                                "-name guest=web,debug-threads=on -S -nodefaults",
                                "-machine pc-q35-7.2,accel=kvm,memory-backend=m,usb=off",
                                "-accel tcg,thread=multi -cpu Skylake-Server,vmx=off -m 64 -smp 2",
                                "-object",
                                "{\"qom-type\":\"memory-backend-file\",\"id\":\"m\",\"size\":67108864,"
                                    + "\"mem-path\":\"/dev/shm/x\",\"share\":true,"
                                    + "\"host-nodes\":[0],\"policy\":\"bind\",\"prealloc\":true}",
                                "-object iothread,id=io1 -object tls-creds-x509,id=t,dir=/pki",
                                "-uuid 4b8d0a1e-57a5-4c8e-9a80-3a9f4f0d3c11",
                                "-chardev socket,id=mon,path=/run/mon,server=on,wait=off",
                                "-mon chardev=mon,id=monitor,mode=control -qmp unix:/run/q,server",
                                "-global migration.send-configuration=off",
                                "-device {\"driver\":\"pcie-root-port\",\"id\":\"p1\"}",
                                "-blockdev driver=file,node-name=f,filename=/d,auto-read-only=on",
                                "-blockdev driver=raw,node-name=d,file=f,read-only=on",
                                "-device virtio-blk-pci,drive=d,bus=p1",
                                "-netdev tap,id=n0,ifname=vnet0,script=/etc/qemu-ifup",
                                "-device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01",
                                "-serial file:/var/log/web -vnc :1 -sandbox on -runas qemu",
                                "-pidfile /run/web.pid -daemonize -D /var/log/q -incoming defer"))
                .isEqualTo(
                        String.join(
                                " ",
                                "-name guest=web,debug-threads=on -nodefaults",
                                "-machine type=pc-q35-7.2,memory-backend=m,usb=off",
                                "-cpu Skylake-Server,vmx=off -m 64 -smp 2",
                                COPIED_RAM.replace("64M", "67108864"),
                                "-object iothread,id=io1",
                                "-uuid 4b8d0a1e-57a5-4c8e-9a80-3a9f4f0d3c11",
                                "-chardev null,id=mon -global migration.send-configuration=off",
                                "-device {\"driver\":\"pcie-root-port\",\"id\":\"p1\"}",
                                "-blockdev driver=file,node-name=f,filename=/d,auto-read-only=on",
                                "-blockdev driver=raw,node-name=d,file=f,read-only=on",
                                "-device virtio-blk-pci,drive=d,bus=p1",
                                "-netdev"
                                    + " type=tap,id=n0,ifname=vnet0,script=no,downscript=no,vhost=off",
                                "-device virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01",
                                "-serial null -accel tcg,thread=multi",
                                ENDS));
    }

    @Test
    void memory_without_a_name_is_a_file_of_the_copy() {
        assertThat(
                        copy(
                                "-nodefaults -object",
                                "{\"qom-type\":\"memory-backend-memfd\",\"id\":\"m\",\"size\":67108864,"
                                    + "\"share\":true,\"seal\":true,\"prealloc\":true}"))
                .isEqualTo(
                        "-nodefaults -object"
                            + " qom-type=memory-backend-file,id=m,size=67108864,share=on,mem-path=/dev/shm/w,,r"
                            + " -accel tcg "
                                + ENDS);
    }

    /** Alone beside main memory, after -nodefaults; what the copy has in its place. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--no-reboot|-no-reboot",
                "-M q35,accel=tcg|-machine type=q35",
                "-nographic|-machine graphics=off",
                "-netdev user,id=n,hostfwd=tcp::2222-:22,hostfwd=tcp::80-:80,net=10.0.9.0/24"
                        + "|-netdev type=user,id=n,net=10.0.9.0/24",
                "-nic user,model=virtio-net-pci,hostfwd=tcp::1-:1"
                        + "|-nic type=user,model=virtio-net-pci",
                "-nic none|-nic none",
                "-serial mon:stdio|-serial null",
                "-serial chardev:c|-serial chardev:c",
                "-chardev pty,id=a,,b,mux=on|-chardev null,id=a,,b,mux=on",
                "-object {\"qom-type\":\"secret\",\"id\":\"k0\",\"file\":\"/k\"}"
                        + " -object secret,id=k1,keyid=k0,data=x -vnc :1,password-secret=k1|",
                "-object secret,id=k0,file=/k -object secret,id=k1,keyid=k0,data=x -cdrom"
                        + " /k1|-object secret,id=k0,file=/k -object secret,id=k1,keyid=k0,data=x"
                        + " -drive media=cdrom,readonly=on,index=2,file=/k1",
                "-add-fd set=1,fd=3 -chardev file,id=c,path=/dev/fdset/1|-chardev null,id=c",
                "-cdrom /a,b.iso|-drive media=cdrom,readonly=on,index=2,file=/a,,b.iso",
                "-drive file=/d,if=virtio,readonly=on|-drive file=/d,if=virtio,readonly=on",
                "-drive if=ide,media=cdrom|-drive if=ide,media=cdrom",
                "-audiodev pa,id=s,server=/run/p|-audiodev none,id=s",
                "-spice port=5900,disable-ticketing=on|",
                "-append quiet|-append quiet",
            })
    void a_part_of_the_host_is_replaced_and_a_part_of_the_machine_stays(
            String argument, String expected) {
        String wanted = expected == null ? "" : " " + expected;
        assertThat(copy("-nodefaults", RAM, argument))
                .isEqualTo("-nodefaults " + COPIED_RAM + wanted + " -accel tcg " + ENDS);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "nbd:h:1|-hda nbd:h:1|file or a block device",
                "-fda /d|-fda|floppy",
                "-drive file=/d,if=pflash|if=pflash|flash memory",
                "-drive file=/d,if=sd|if=sd|if=virtio",
                "-drive file=/d,snapshot=on|snapshot=on|thrown away",
                "-drive file=/d,copy-on-read=on|copy-on-read=on|copy-on-read",
                "-drive file=/d,format=vmdk|format=vmdk|raw or qcow2",
                "-drive file=rbd:pool/d|rbd:pool/d|file or a block device",
                "-drive file.driver=nbd,file.filename=/d|file.driver=nbd|block device",
                "-drive driver=raw,if=none,file.path=/d|file.path=/d|file=PATH",
                "-drive file=/d,offset=512|offset=512|offset= is not known",
                "-drive file=/d -device virtio-blk-pci,drive=d,share-rw=on|share-rw=on|shared disk",
                "-drive file=/d -device virtio-blk-pci,iothread=i|iothread=i|without iothread=",
                "-drive file=/d -device"
                    + " {\"driver\":\"virtio-blk-pci\",\"iothread-vq-mapping\":[{\"iothread\":\"i\"}]}|iothread|without"
                    + " iothread=",
                "-set drive.d.readonly=off|-set drive.d|into the -drive",
                "-drive file=/d,readonly=on,cache=none|cache=none|direct I/O",
                "-blockdev driver=file,node-name=d,filename=/d|-blockdev|read-only=on",
                "-blockdev driver=nbd,node-name=d -device virtio-blk-pci,drive=d|driver=nbd|qcow2",
                "-blockdev driver=file,node-name=d,filename=/d,pr-manager=p"
                        + " -device virtio-blk-pci,drive=d|pr-manager|pr-manager= is not known",
                "-blockdev driver=file,node-name=f,filename=/d"
                        + " -blockdev driver=throttle,node-name=d,file=f"
                        + " -device virtio-blk-pci,drive=d|driver=throttle|raw or qcow2",
                "-blockdev driver=file,node-name=f,filename=/d"
                        + " -blockdev driver=raw,node-name=d,file=f,offset=512"
                        + " -device virtio-blk-pci,drive=d|offset=512|offset= is not known",
                "-blockdev driver=file,node-name=f,filename=/d"
                        + " -blockdev driver=raw,node-name=d,file=f"
                        + " -blockdev driver=raw,node-name=e,file=f"
                        + " -device virtio-blk-pci,drive=d|node-name=f|nodes of its own",
                "-blockdev {\"driver\":\"file\",\"read-only\":true,\"cache\":{\"direct\":true}}"
                        + "|-blockdev|direct I/O",
                "-netdev tap,id=n,fd=27|fd=27|ifname=TAP",
                "-netdev {\"type\":\"tap\",\"fds\":\"1:2\",\"id\":\"n\"}|-netdev|fds= cannot",
                "-netdev tap,id=n|-netdev tap,id=n|ifname=TAP",
                "-netdev tap,id=n,ifname=t,vhost=on|vhost=on|vhost=off",
                "-netdev tap,id=n,ifname=t,queues=2|queues=2|without queues=",
                "-netdev bridge,id=n,br=br0|-netdev bridge|use tap",
                "-net nic|-net|-netdev",
                "-device vhost-vsock-pci,guest-cid=3|vhost-vsock-pci|state",
                "-device virtio-balloon-pci|virtio-balloon-pci|state",
                "-device vfio-pci,host=01:00.0|vfio-pci|state",
                "-device virtio-net-pci,mq=on|mq=on|mq=off",
                "-object memory-backend-ram,id=other,size=1M|id=other|not tracked",
                "-object filter-dump,id=f,netdev=n|filter-dump|not known",
                "-object {oops|-object {oops|JSON",
                "-add-fd fd=3,set=1 -kernel /dev/fdset/1|/dev/fdset/1|descriptor",
                "-add-fd fd=3,set=1 -drive file=/dev/fdset/1|file=/dev/fdset/1|descriptor",
                "-add-fd fd=3,set=1 -drive file=/dev/fdset/1,readonly=on|/dev/fdset/1|descriptor",
                "-snapshot|-snapshot|thrown away",
                "-machine q35,memory-encryption=sev0|memory-encryption|encrypted",
                "-mystery 7|-mystery|not known",
                "-append|-append|missing",
            })
    void what_cannot_be_had_twice_is_refused_by_its_name(
            String argument, String named, String advice) {
        assertThatThrownBy(() -> StandbyCommandLine.images(line("-nodefaults", RAM, argument)))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining(named)
                .hasMessageContaining(advice);
    }

    @Test
    void main_memory_and_every_nic_must_be_on_the_command_line() {
        assertThatThrownBy(() -> copy("-nodefaults"))
                .hasMessageContaining("memory-backend-file,id=m");
        assertThatThrownBy(() -> copy(RAM)).hasMessageContaining("-nic none");
        assertThatCode(() -> copy(RAM, "-nic none")).doesNotThrowAnyException();
    }

    @Test
    void taps_are_found_by_their_netdev() {
        assertThat(
                        StandbyCommandLine.taps(
                                line(
                                        "-netdev user,id=u",
                                        "-netdev tap,ifname=t0,id=n0",
                                        "-netdev"
                                            + " {\"type\":\"tap\",\"id\":\"n1\",\"ifname\":\"t1\"}")))
                .isEqualTo(Map.of("n0", "t0", "n1", "t1"));
    }

    @Test
    void a_device_that_one_side_lacks_is_named() {
        ForeignCommandLine line =
                line(RAM).withDevices(List.of("e1000, id \"a\"", "VGA, id \"\"", "VGA, id \"\""));
        line.requireEqualDevices(List.of("VGA, id \"\"", "e1000, id \"a\"", "VGA, id \"\""));
        assertThatThrownBy(() -> line.requireEqualDevices(List.of("VGA, id \"\"", "VGA, id \"\"")))
                .hasMessageContaining("lacks a device of the domain: e1000, id \"a\"");
        assertThatThrownBy(
                        () ->
                                line.withDevices(List.of())
                                        .requireEqualDevices(List.of("x, id \"\"")))
                .hasMessageContaining("has a device that the domain has not: x");
    }

    /** A disk that the guest may write, where its image is raw and elsewhere. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "/d|-drive file=/r,,1,index=0,media=disk,format=raw,file.locking=on",
                "-hdc /d|-drive file=/r,,1,index=2,media=disk,format=raw,file.locking=on",
                "-drive file=/d|-drive file=/r,,1,format=raw,file.locking=on",
                "-drive id=d,if=none,driver=qcow2,file=/d,l2-cache-size=1M,throttling.iops-total=9"
                        + "|-drive id=d,if=none,file=/r,,1,throttling.iops-total=9,format=raw,"
                        + "file.locking=on",
                "-drive"
                    + " if=virtio,format=raw,file.driver=file,file.filename=/d,file.locking=off,size=1M|-drive"
                    + " if=virtio,format=raw,file.locking=on,file=/r,,1",
                "-blockdev driver=file,node-name=d,filename=/d,aio=io_uring"
                        + " -device virtio-blk-pci,drive=d"
                        + "|-blockdev driver=raw,node-name=d,file.aio=io_uring,file.driver=file,"
                        + "file.filename=/r,,1,file.locking=on -device virtio-blk-pci,drive=d",
                "-blockdev"
                        + " {\"driver\":\"qcow2\",\"node-name\":\"d\",\"discard\":\"unmap\","
                        + "\"file\":{\"driver\":\"file\",\"filename\":\"/d\"}}"
                        + " -device {\"driver\":\"virtio-blk-pci\",\"drive\":\"d\"}"
                        + "|-blockdev driver=raw,node-name=d,discard=unmap,file.driver=file,"
                        + "file.filename=/r,,1,file.locking=on"
                        + " -device {\"driver\":\"virtio-blk-pci\",\"drive\":\"d\"}",
                "-blockdev driver=file,node-name=bf,filename=/base,auto-read-only=on"
                        + " -blockdev driver=raw,node-name=b,file=bf,read-only=on"
                        + " -blockdev driver=file,node-name=f,filename=/d,auto-read-only=on"
                        + " -blockdev driver=qcow2,node-name=d,file=f,backing=b,read-only=off"
                        + " -device virtio-blk-pci,drive=d"
                        + "|-blockdev driver=raw,node-name=d,file.driver=file,"
                        + "file.filename=/r,,1,file.locking=on -device virtio-blk-pci,drive=d",
            })
    void a_disk_that_the_guest_may_write_is_its_replica_on_the_copy(
            String argument, String expected) {
        assertThat(
                        with(
                                List.of(new Disk(REPLICA, Format.RAW, Access.READ_WRITE)),
                                "-nodefaults",
                                RAM,
                                argument))
                .isEqualTo("-nodefaults " + COPIED_RAM + " " + expected + " -accel tcg " + ENDS);
        assertThat(StandbyCommandLine.images(line("-nodefaults", RAM, argument)))
                .containsExactly(Path.of("/d"));
    }

    /** As a management system says that there is nothing below an image. */
    @Test
    void an_image_without_any_below_it_stays_one() {
        assertThat(
                        with(
                                List.of(new Disk(REPLICA, Format.QCOW2, Access.READ_WRITE)),
                                "-nodefaults",
                                RAM,
                                "-blockdev"
                                    + " {\"driver\":\"file\",\"filename\":\"/d\",\"node-name\":\"f\"}",
                                "-blockdev"
                                    + " {\"node-name\":\"d\",\"driver\":\"qcow2\",\"file\":\"f\",\"backing\":null}",
                                "-device {\"driver\":\"virtio-blk-pci\",\"drive\":\"d\"}"))
                .contains("-blockdev node-name=d,driver=qcow2,file=f,backing= ")
                .contains("-blockdev driver=file,filename=/r,,1,node-name=f,locking=on ");
    }

    @Test
    void an_image_that_both_hosts_share_stays_what_it_is() {
        String chain =
                "-blockdev driver=file,node-name=bf,filename=/base,auto-read-only=on"
                        + " -blockdev driver=raw,node-name=b,file=bf,read-only=on"
                        + " -blockdev driver=file,node-name=f,filename=%s,auto-read-only=on%s"
                        + " -blockdev driver=qcow2,node-name=d,file=f,backing=b,read-only=off"
                        + " -device virtio-blk-pci,drive=d";
        assertThat(
                        with(
                                List.of(new Disk(REPLICA, Format.QCOW2, Access.READ_WRITE)),
                                "-nodefaults",
                                RAM,
                                chain.formatted("/d", "")))
                .isEqualTo(
                        "-nodefaults "
                                + COPIED_RAM
                                + " "
                                + chain.formatted("/r,,1", ",locking=on")
                                + " -accel tcg "
                                + ENDS);
    }

    @Test
    void disks_are_numbered_in_the_order_of_the_command_line_and_relative_to_its_directory() {
        ForeignCommandLine line =
                line(
                        "-nodefaults",
                        RAM,
                        "-blockdev driver=file,node-name=f,filename=sub/../b.img",
                        "-blockdev driver=null-co,node-name=n -device virtio-blk-pci,drive=n",
                        "-drive file=a.img,if=none,id=x -drive file=/iso,media=cdrom",
                        "-blockdev driver=raw,node-name=d,file=f -device virtio-blk-pci,drive=d");
        assertThat(StandbyCommandLine.images(line))
                .containsExactly(Path.of("/a.img"), Path.of("/b.img"));
        assertThatThrownBy(
                        () ->
                                StandbyCommandLine.of(
                                        line, List.of(), FILES, Accelerator.TCG, Start.PAUSED))
                .hasMessageContaining("its description has 0 disks, its command line 2");
    }

    private static String copy(String... words) {
        return with(List.of(), words);
    }

    private static String with(List<Disk> disks, String... words) {
        return String.join(
                " ",
                StandbyCommandLine.of(line(words), disks, FILES, Accelerator.TCG, Start.PAUSED));
    }

    private static ForeignCommandLine line(String... words) {
        List<String> arguments = new ArrayList<>();
        for (String some : words) {
            arguments.addAll(List.of(some.split(" ")));
        }
        return new ForeignCommandLine(
                Path.of("/usr/bin/qemu-system-x86_64"), Path.of("/"), "m", arguments, List.of());
    }
}
