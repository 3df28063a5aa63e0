package holdfast.node.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainSource;
import holdfast.qemu.launch.Accelerator;
import holdfast.qemu.launch.DomainSpec;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

class DomainFileTest {
    private static final String WHOLE =
            """
            # everything that can be said
            name: web
            memory: 1G
            uuid: 6f4b7bd2-0a53-4a6e-9e38-7fbd6f2f4a11
            vcpus: 2
            machine: pc-q35-7.2
            accelerator: tcg
            firmware: ~/ovmf.fd
            boot:
              kernel: guest/vmlinuz
              initrd: /boot/initrd.gz
              commandLine: "console=ttyS0 panic=1"
            disks:
              - {path: web.qcow2, format: qcow2}
              - {path: /images/cd.iso, format: raw, access: read-only}
              - {path: data, replica: /replicas/data, peer: "10.0.0.2:9000", bytes: 1024}
            nics:
              - tap: hf-web0
                bridge: br0
                mac: 52:54:00:12:34:56
              - user: true
                forwards:
                  - {host: 2222, guest: 22}
            random: false
            display: std
            serial: /var/log/web.console
            extra: [-device, virtio-balloon, -smp, 3]
            remus_backup: hostB
            """;

    @Test
    void everything_that_can_be_said_is_understood() {
        DomainSpec spec = DomainFile.parse("/etc/holdfast/web.yaml", WHOLE);
        assertThat(spec.name()).isEqualTo("web");
        assertThat(spec.memoryMiB()).isEqualTo(1024);
        assertThat(spec.uuid()).isEqualTo(UUID.fromString("6f4b7bd2-0a53-4a6e-9e38-7fbd6f2f4a11"));
        assertThat(spec.vcpus()).isEqualTo(2);
        assertThat(spec.machine()).isEqualTo("pc-q35-7.2");
        assertThat(spec.accelerator()).isEqualTo(Accelerator.TCG);
        assertThat(spec.firmware()).contains(Path.of(System.getProperty("user.home"), "ovmf.fd"));
        assertThat(spec.boot())
                .contains(
                        new DomainSpec.Kernel(
                                Path.of("/etc/holdfast/guest/vmlinuz"),
                                Optional.of(Path.of("/boot/initrd.gz")),
                                "console=ttyS0 panic=1"));
        assertThat(spec.disks())
                .containsExactly(
                        new DomainSpec.Disk(
                                Path.of("/etc/holdfast/web.qcow2"),
                                DomainSpec.Format.QCOW2,
                                DomainSpec.Access.READ_WRITE),
                        new DomainSpec.Disk(
                                Path.of("/images/cd.iso"),
                                DomainSpec.Format.RAW,
                                DomainSpec.Access.READ_ONLY),
                        new DomainSpec.Disk(
                                Path.of("/etc/holdfast/data"),
                                DomainSpec.Format.AUTO,
                                DomainSpec.Access.READ_WRITE,
                                OptionalLong.of(1024),
                                Optional.of(Path.of("/replicas/data")),
                                Optional.of("10.0.0.2:9000")));
        assertThat(spec.remusBackup()).contains("hostB");
        assertThat(spec.nics().getFirst())
                .isEqualTo(
                        new DomainSpec.TapNic("52:54:00:12:34:56", "hf-web0", Optional.of("br0")));
        assertThat(spec.nics().get(1))
                .isInstanceOfSatisfying(
                        DomainSpec.UserNic.class,
                        user -> {
                            assertThat(user.forwards())
                                    .containsExactly(new DomainSpec.Forward(2222, 22));
                            assertThat(user.mac()).startsWith("52:54:00:");
                        });
        assertThat(spec.random()).isEqualTo(DomainSpec.RandomDevice.ABSENT);
        assertThat(spec.display()).isEqualTo(DomainSpec.Display.STD);
        assertThat(spec.serial()).contains(Path.of("/var/log/web.console"));
        assertThat(spec.extra()).containsExactly("-device", "virtio-balloon", "-smp", "3");
    }

    @Test
    void a_name_and_a_size_are_enough() {
        DomainSpec spec = DomainFile.parse("/d/web.yaml", "{name: web, memory: 256M}");
        DomainSpec least = DomainSpec.of("web", 256);
        assertThat(spec).usingRecursiveComparison().ignoringFields("uuid").isEqualTo(least);
    }

    @Test
    void what_is_written_down_reads_as_the_same() {
        for (String yaml : List.of(WHOLE, "{name: web, memory: 256M}")) {
            DomainSpec spec = DomainFile.parse("/etc/holdfast/web.yaml", yaml);
            assertThat(DomainFile.CODEC.read("/elsewhere/spec.json", DomainFile.CODEC.write(spec)))
                    .isEqualTo(spec);
        }
    }

    @Test
    void a_disk_may_be_only_its_path_or_what_xend_and_xl_call_a_replicated_one() {
        DomainSpec spec =
                DomainFile.parse(
                        "/etc/web.yaml",
                        domain(
                                """
                                disks:
                                  - images/a,b.img
                                  - remus:10.0.0.2:9000|aio:/dev/foo
                                  - "tap:remus:hostB:9001|aio:/b.img,vda,w"
                                  - tap2:remus:[2001:db8::1]:9002|aio:c.img,xvda,r
                                  - {path: "tap:remus:hostB:9003|aio:/d.img,xvdb", format: qcow2}
                                """));
        assertThat(spec.disks())
                .extracting(disk -> disk.path().toString())
                .containsExactly(
                        "/etc/images/a,b.img", "/dev/foo", "/b.img", "/etc/c.img", "/d.img");
        assertThat(spec.disks())
                .extracting(disk -> disk.peer().orElse(""))
                .containsExactly("", "10.0.0.2:9000", "hostB:9001", "", "hostB:9003");
        assertThat(spec.disks())
                .filteredOn(disk -> disk.access() == DomainSpec.Access.READ_ONLY)
                .extracting(disk -> disk.path().toString())
                .containsExactly("/etc/c.img");
        assertThat(spec.disks().getLast().format()).isEqualTo(DomainSpec.Format.QCOW2);
        assertThat(DomainFile.CODEC.read("/elsewhere/spec.json", DomainFile.CODEC.write(spec)))
                .isEqualTo(spec);
    }

    @Test
    void an_address_that_was_made_up_stays_with_the_domain() {
        String yaml =
                "{name: web, memory: 1M, uuid: 6f4b7bd2-0a53-4a6e-9e38-7fbd6f2f4a11, nics: [{user:"
                        + " true}, {user: true}]}";
        DomainSpec spec = DomainFile.parse("/d/web.yaml", yaml);
        assertThat(spec.nics()).isEqualTo(DomainFile.parse("/other/web.yaml", yaml).nics());
        assertThat(spec.nics()).extracting(DomainSpec.Nic::mac).doesNotHaveDuplicates();
    }

    @ParameterizedTest
    @ValueSource(strings = {"redis", "redis-disk"})
    void an_example_is_right(String name) throws IOException {
        Path example = Path.of("../examples", name + ".yaml").toAbsolutePath().normalize();
        DomainSpec spec = DomainFile.parse(example.toString(), Files.readString(example));
        assertThat(spec.name()).isEqualTo(name);
    }

    /** A file and the lines its mistakes are told in. */
    record Row(String name, String yaml, String... told) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static String domain(String more) {
        return "name: web\nmemory: 256M\n" + more;
    }

    static List<Row> mistakes() {
        String keys =
                "name, memory, uuid, vcpus, machine, accelerator, firmware, boot, disks, nics,"
                        + " random, display, serial, extra, remus_backup";
        return List.of(
                new Row("empty", "", "f.yaml:1:1: the file is empty"),
                new Row("only a comment", "# nothing\n", "f.yaml:1:1: the file is empty"),
                new Row(
                        "a list",
                        "- a\n",
                        "f.yaml:1:1: the file: found a list, expected a mapping with the keys "
                                + keys),
                new Row(
                        "a text",
                        "web",
                        "f.yaml:1:1: the file: found \"web\", expected a mapping with the keys "
                                + keys),
                new Row(
                        "missing name",
                        "memory: 256M",
                        "f.yaml:1:1: name: this key is missing, expected 1 to 63 of the letters"),
                new Row(
                        "missing memory",
                        "name: web",
                        "f.yaml:1:1: memory: this key is missing, expected a size such as 256M or"
                                + " 1G"),
                new Row(
                        "unknown key near another",
                        domain("vpcus: 2"),
                        "f.yaml:3:1: vpcus: unknown key, did you mean vcpus?; allowed are " + keys),
                new Row(
                        "unknown key",
                        domain("colour: red"),
                        "f.yaml:3:1: colour: unknown key; allowed are " + keys),
                new Row(
                        "unknown key inside",
                        domain("boot:\n  kernel: /k\n  initramfs: /i"),
                        "f.yaml:5:3: boot.initramfs: unknown key; allowed are kernel, initrd,"
                                + " commandLine"),
                new Row(
                        "unknown key in a list",
                        domain("disks:\n  - path: /d\n    format: raw\n    frmat: raw"),
                        "f.yaml:6:5: disks[0].frmat: unknown key, did you mean format?; allowed are"
                                + " path, format, access, replica, peer, bytes"),
                new Row(
                        "duplicate key",
                        domain("name: db"),
                        "f.yaml:3:1: name: this key stands in line 1 already"),
                new Row(
                        "memory without unit",
                        "name: web\nmemory: 256",
                        "f.yaml:2:9: memory: found \"256\", expected a size in whole MiB"),
                new Row(
                        "memory too small",
                        "name: web\nmemory: 1K",
                        "f.yaml:2:9: memory: found \"1K\", expected a size in whole MiB"),
                new Row(
                        "memory too large",
                        "name: web\nmemory: 5T",
                        "f.yaml:2:9: memory: found \"5T\"",
                        "at most 4096G"),
                new Row(
                        "memory a list",
                        "name: web\nmemory: [1G]",
                        "f.yaml:2:9: memory: found a list, expected a size"),
                new Row(
                        "memory nothing",
                        "name: web\nmemory:",
                        "f.yaml:2:8: memory: found nothing, expected a size"),
                new Row(
                        "name with a slash",
                        "name: a/b\nmemory: 1G",
                        "f.yaml:1:7: name: found \"a/b\", expected 1 to 63"),
                new Row(
                        "name true",
                        "name: true\nmemory: 1G",
                        "f.yaml:1:7: name: found true, expected 1 to 63"),
                new Row(
                        "vcpus zero",
                        domain("vcpus: 0"),
                        "f.yaml:3:8: vcpus: found 0, expected a whole number from 1 to 255"),
                new Row(
                        "vcpus 256",
                        domain("vcpus: 256"),
                        "f.yaml:3:8: vcpus: found 256, expected a whole number from 1 to 255"),
                new Row(
                        "vcpus a text",
                        domain("vcpus: \"2\""),
                        "f.yaml:3:8: vcpus: found \"2\", expected a whole number"),
                new Row(
                        "vcpus a fraction",
                        domain("vcpus: 1.5"),
                        "f.yaml:3:8: vcpus: found 1.5, expected a whole number"),
                new Row(
                        "vcpus huge",
                        domain("vcpus: 99999999999999"),
                        "f.yaml:3:8: vcpus: found 99999999999999, expected"),
                new Row(
                        "uuid",
                        domain("uuid: 1-2-3-4-5"),
                        "f.yaml:3:7: uuid: found \"1-2-3-4-5\", expected a UUID"),
                new Row(
                        "machine with options",
                        domain("machine: q35,x=y"),
                        "f.yaml:3:10: machine: found 'q35,x=y'"),
                new Row(
                        "accelerator",
                        domain("accelerator: xen"),
                        "f.yaml:3:14: accelerator: found \"xen\", expected one of auto, kvm, tcg"),
                new Row(
                        "display",
                        domain("display: sdl"),
                        "f.yaml:3:10: display: found \"sdl\", expected one of none, std"),
                new Row(
                        "random",
                        domain("random: maybe"),
                        "f.yaml:3:9: random: found \"maybe\", expected true or false"),
                new Row(
                        "boot a text",
                        domain("boot: /k"),
                        "f.yaml:3:7: boot: found \"/k\", expected a mapping with the keys kernel"),
                new Row(
                        "boot without a kernel",
                        domain("boot: {initrd: /i}"),
                        "f.yaml:3:7: boot.kernel: this key is missing"),
                new Row(
                        "an empty path",
                        domain("serial: \"\""),
                        "f.yaml:3:9: serial: found \"\", expected a path"),
                new Row(
                        "disks a mapping",
                        domain("disks: {path: /d}"),
                        "f.yaml:3:8: disks: found a mapping (key: value), expected a list"),
                new Row(
                        "disk without a path",
                        domain("disks: [{format: raw}]"),
                        "f.yaml:3:9: disks[0].path: this key is missing, expected the path"),
                new Row(
                        "disk format",
                        domain("disks: [{path: /d, format: vmdk}]"),
                        "f.yaml:3:28: disks[0].format: found \"vmdk\", expected one of auto, raw,"
                                + " qcow2"),
                new Row(
                        "disk a number",
                        domain("disks: [/a, 7]"),
                        "f.yaml:3:13: disks[1]: found 7, expected the path of an image, or a"
                                + " mapping with the keys path, format"),
                new Row(
                        "disk a list",
                        domain("disks: [[/a]]"),
                        "f.yaml:3:9: disks[0]: found a list, expected a mapping"),
                new Row(
                        "disk an empty path",
                        domain("disks: [\"\"]"),
                        "f.yaml:3:9: disks[0]: found \"\", expected a path"),
                new Row(
                        "two disks with one path",
                        domain("disks: [/d, /x/../d]"),
                        "f.yaml:3:8: disks: two have the same path"),
                new Row(
                        "two disks with one replica",
                        domain("disks: [/d, {path: /e, replica: /d}]"),
                        "f.yaml:3:8: disks: two have the same replica"),
                new Row(
                        "disk bytes",
                        domain("disks: [{path: /d, bytes: 1000}]"),
                        "f.yaml:3:27: disks[0].bytes: found \"1000\", expected a number of bytes,"
                                + " a multiple of 512"),
                new Row(
                        "replica of a read-only disk",
                        domain("disks: [{path: /d, access: read-only, replica: /r}]"),
                        "f.yaml:3:48: disks[0].replica: a read-only disk has no replica"),
                new Row(
                        "replicated disk without a port",
                        domain("disks: [\"remus:host|aio:/d\"]"),
                        "f.yaml:3:9: disks[0]: found \"host\", expected HOST:PORT"),
                new Row(
                        "replicated disk with a wrong port",
                        domain("disks: [\"remus:host:0|aio:/d\"]"),
                        "f.yaml:3:9: disks[0]: node address: expected a port from 1 to 65535"),
                new Row(
                        "replicated disk without aio",
                        domain("disks: [\"tap:remus:host:9|/d\"]"),
                        "f.yaml:3:9: disks[0]: found \"tap:remus:host:9|/d\", expected"
                                + " [tap:]remus:HOST:PORT|aio:PATH[,TARGET[,w|r]]"),
                new Row(
                        "disk as xend and xl say what it is",
                        domain("disks: [\"phy:/dev/vg/web,xvda,w\"]"),
                        "f.yaml:3:9: disks[0]: found \"phy:/dev/vg/web,xvda,w\", expected the path"
                                + " alone, of a file or a block device: /dev/vg/web"),
                new Row(
                        "disk as xend says what it is, in a mapping",
                        domain("disks: [{path: \"tap:aio:/d.img\"}]"),
                        "expected the path alone, of a file or a block device: /d.img"),
                new Row(
                        "replicated disk with a wrong mode",
                        domain("disks: [{path: \"remus:h:9|aio:/d,vda,x\"}]"),
                        "f.yaml:3:16: disks[0].path: found \"remus:h:9|aio:/d,vda,x\", expected"
                                + " [tap:]remus"),
                new Row(
                        "access against the mode",
                        domain(
                                "disks:\n"
                                    + "- {path: \"remus:h:9|aio:/d,vda,w\", access: read-only}"),
                        "f.yaml:4:44: disks[0].access: found read-only, but path says otherwise"),
                new Row(
                        "two peers",
                        domain("disks: [{path: \"remus:h:9|aio:/d\", peer: \"i:9\"}]"),
                        "f.yaml:3:42: disks[0].peer: allowed only where path does not name one"),
                new Row(
                        "backup",
                        domain("remus_backup: \"host:\""),
                        "f.yaml:3:15: remus_backup: node address: expected a port"),
                new Row(
                        "nic of neither kind",
                        domain("nics: [{mac: 52:54:00:00:00:01}]"),
                        "f.yaml:3:8: nics[0].tap: each NIC has either tap: NAME or user: true"),
                new Row(
                        "nic of both kinds",
                        domain("nics: [{tap: t, user: true}]"),
                        "f.yaml:3:14: nics[0].tap: each NIC has either"),
                new Row(
                        "bridge without tap",
                        domain("nics: [{user: true, bridge: b}]"),
                        "nics[0].bridge: allowed only beside tap"),
                new Row(
                        "forwards with tap",
                        domain("nics: [{tap: t, forwards: []}]"),
                        "nics[0].forwards: allowed only beside user: true"),
                new Row(
                        "tap name too long",
                        domain("nics: [{tap: sixteen-letters-}]"),
                        "f.yaml:3:14: nics[0].tap: found 'sixteen-letters-'"),
                new Row(
                        "mac multicast",
                        domain("nics: [{user: true, mac: 53:54:00:12:34:56}]"),
                        "nics[0].mac: found '53:54:00:12:34:56'"),
                new Row(
                        "two equal macs",
                        domain(
                                "nics:\n"
                                        + "- {user: true, mac: 52:54:00:00:00:01}\n"
                                        + "- {user: true, mac: 52:54:00:00:00:01}"),
                        "nics: two have the same MAC address"),
                new Row(
                        "port",
                        domain("nics: [{user: true, forwards: [{host: 70000, guest: 22}]}]"),
                        "nics[0].forwards[0].host: found 70000, expected a whole number from 1 to"
                                + " 65535"),
                new Row(
                        "argument a list",
                        domain("extra: [[a]]"),
                        "f.yaml:3:9: extra[0]: found a list, expected an argument for QEMU"),
                new Row("a tab", "name: web\n\tmemory: 1G", "f.yaml:2:1: this is not YAML:"),
                new Row("an open quote", "name: \"web\nmemory: 1G", "this is not YAML:"),
                new Row("an open bracket", "name: [web\n", "this is not YAML:"),
                new Row(
                        "an alias",
                        "name: &n web\nmemory: *n",
                        "f.yaml:2:9: an alias (*n) is not allowed here"),
                new Row(
                        "two documents",
                        "{name: web, memory: 1G}\n---\nname: db",
                        "a second document begins here"),
                new Row(
                        "deep",
                        domain("boot: " + "[".repeat(40) + "]".repeat(40)),
                        "nested more than 16 deep"),
                new Row(
                        "several at once, in order",
                        "memory: lots\nnmae: web\nvcpus: 0\n",
                        "f.yaml:1:1: name: this key is missing",
                        "f.yaml:1:9: memory: found \"lots\"",
                        "f.yaml:2:1: nmae: unknown key, did you mean name?",
                        "f.yaml:3:8: vcpus: found 0"));
    }

    @ParameterizedTest
    @MethodSource("mistakes")
    void a_mistake_is_told_with_its_place(Row row) {
        try {
            DomainFile.parse("f.yaml", row.yaml());
        } catch (ConfigException e) {
            String message = e.getMessage();
            assertThat(message).contains(row.told()).containsSubsequence(row.told());
            assertThat(message.lines())
                    .allMatch(line -> line.matches("f\\.yaml:[1-9][0-9]*:[1-9][0-9]*: .+"));
            return;
        }
        throw new AssertionError("no mistake was found");
    }

    @Test
    void no_prefix_of_a_file_does_harm() {
        String undone =
                IntStream.range(0, WHOLE.length())
                        .mapToObj(end -> WHOLE.substring(0, end))
                        .filter(DomainFileTest::isHarmful)
                        .collect(Collectors.joining("\n---\n"));
        assertThat(undone).isEmpty();
    }

    private static boolean isHarmful(String yaml) {
        try {
            DomainFile.parse("/d/f.yaml", yaml);
            return false;
        } catch (ConfigException e) {
            return e.mistakes().isEmpty();
        }
    }

    @Test
    void every_key_is_in_the_document() throws IOException {
        String document = Files.readString(Path.of("../docs/cli.md"));
        assertThat(DomainFile.KEYS)
                .allMatch(key -> document.contains("| `" + key + "` |"), "in docs/cli.md");
        assertThat(NodeFile.KEYS)
                .allMatch(key -> document.contains("| `" + key + "` |"), "in docs/cli.md");
    }

    @Test
    void what_an_operator_sent_is_a_bad_request() {
        assertThatThrownBy(() -> DomainFile.parse(new DomainSource("/d/f.yaml", "name: web")))
                .isInstanceOfSatisfying(
                        ApiException.class,
                        e -> assertThat(e.kind()).isEqualTo(ApiException.Kind.BAD_REQUEST))
                .hasMessageStartingWith("/d/f.yaml:1:1: memory");
    }

    @Test
    void a_node_file_may_be_empty_of_keys_and_is_checked_too() {
        NodeFile defaults = NodeFile.defaults();
        assertThat(defaults.host() + ":" + defaults.port()).isEqualTo("0.0.0.0:7227");
        assertThat(defaults.ramDirectory()).hasToString("/dev/shm");
        assertThat(defaults.heartbeatMillis()).isEqualTo(100);
        assertThat(defaults.reprotect()).isTrue();
        assertThat(NodeFile.parse("n.yaml", "reprotect: false").reprotect()).isFalse();
        assertThat(defaults.deadlineMillis()).isEqualTo(500);
        assertThat(defaults.name()).isNotBlank();
        NodeFile v6 =
                NodeFile.parse(
                        "n.yaml",
                        "{name: a, listen: \"[::1]:99\", heartbeatMillis: 1000, stateDirectory:"
                                + " /s}");
        assertThat(v6.host()).isEqualTo("::1");
        assertThat(v6.port()).isEqualTo(99);
        assertThat(v6.deadlineMillis()).isEqualTo(2000);
        assertThat(v6.stateDirectory()).contains(Path.of("/s"));
        for (String listen : List.of("here", ":7227", "a:0", "a:65536", "::1:99", "a:b")) {
            assertThatThrownBy(() -> NodeFile.parse("n.yaml", "listen: \"" + listen + "\""))
                    .hasMessageContaining(
                            "n.yaml:1:9: listen: found \"" + listen + "\", expected host:port");
        }
        assertThatThrownBy(
                        () -> NodeFile.parse("n.yaml", "heartbeatMillis: 100\ndeadlineMillis: 150"))
                .hasMessageContaining(
                        "n.yaml:2:17: deadlineMillis: found 150, expected a whole number from 200");
        assertThatThrownBy(() -> NodeFile.read(Path.of("/nonexistent/n.yaml")))
                .hasMessageContaining("/nonexistent/n.yaml");
    }
}
