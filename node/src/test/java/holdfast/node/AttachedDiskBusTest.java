package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HexFormat;

/**
 * Attached machines whose disk is not on virtio. Their guest is a boot sector that uses the
 * firmware's drivers.
 */
@Tag("qemu")
@Timeout(120)
class AttachedDiskBusTest {
    private static final int SECTOR_BYTES = 512;
    private static final int FIRST = 64;
    private static final int COUNT = 32;

    /**
     * With each tick of the clock, 18 times a second, it counts on in memory and writes sector
     * {@value #FIRST} + count % {@value #COUNT}, full of its count (interrupt 13h, AH=43h). Then it
     * reads the sector before (AH=42h), and stands still for ever where that does not hold the
     * count of before.
     */
    private static final String BOOT_SECTOR =
            """
            31c08ed88ec08ed0bc007cfbfc8816208066c70600800000000066ff06008066
            a10080bf0090b9800066f3abbb0090b443e82d0066ff0e0080741abb00a0b442
            e81e0066a1008066390600a0750f663906fca1750866ff060080f4ebbdfaf4eb
            fcbe108066c70410000100895c04c744060000668b0e00806683e11f6683c140
            66894c0866c7440c00000000b0008a162080cd1372c7c3
            """;

    private static byte[] disk() {
        byte[] disk = new byte[1 << 20];
        byte[] code = HexFormat.of().parseHex(BOOT_SECTOR.replaceAll("\\s", ""));
        System.arraycopy(code, 0, disk, 0, code.length);
        disk[SECTOR_BYTES - 2] = 0x55;
        disk[SECTOR_BYTES - 1] = (byte) 0xaa;
        return disk;
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "pc|-hda IMAGE -hdb OTHER",
                "q35|-device virtio-scsi-pci,id=s -drive file=IMAGE,format=raw,if=none,id=d"
                        + " -device scsi-hd,drive=d,bus=s.0",
                "q35|-drive file=IMAGE,format=raw,if=none,id=d -device ide-hd,drive=d,bus=ide.0",
            })
    void a_survivor_has_memory_and_disk_of_one_epoch(String machine, String words)
            throws Exception {
        failOver(machine, words);
    }

    @Tag(LongRun.TAG)
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "pc|IMAGE",
                "pc|-device ahci,id=ahci -drive file=IMAGE,format=raw,if=none,id=d"
                        + " -device ide-hd,drive=d,bus=ahci.0",
            })
    void so_has_one_of_other_words(String machine, String words) throws Exception {
        failOver(machine, words);
    }

    private static void failOver(String machine, String words) throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu = ForeignQemu.booting(hosts, machine, disk(), words)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            ForeignQemu.awaitWritten(qemu.image());
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 20);
            requireEqual(a, b, qemu.image());
            await(a, "g", s -> s.protection().epochsCommitted() >= 40);
            qemu.process().kill(Duration.ofSeconds(20));
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            Path replica = Path.of(survivor.disks().getFirst().path());
            ForeignQemu.awaitWritten(b, replica);
            b.destroy("g");
            requireAllOfThemInOrder(Files.readAllBytes(replica));
        }
    }

    /** Block by block, while the guest stands. */
    static void requireEqual(Node a, Node b, Path image) throws Exception {
        a.pause("g");
        // The epoch that ends after the guest stands, and the one before it.
        long committed = b.status("g").protection().replication().replica().committedEpoch();
        DomainStatus replicated =
                await(
                        b,
                        "g",
                        s ->
                                s.protection().replication().replica().appliedEpoch()
                                        >= committed + 2);
        assertThat(Files.mismatch(image, Path.of(replicated.disks().getFirst().path())))
                .isEqualTo(-1);
        a.unpause("g");
    }

    /** The last {@value #COUNT} counts, each in its place. */
    private static void requireAllOfThemInOrder(byte[] disk) {
        ByteBuffer counts = ByteBuffer.wrap(disk).order(ByteOrder.LITTLE_ENDIAN);
        int newest = 0;
        for (int i = 0; i < COUNT; i++) {
            newest = Math.max(newest, counts.getInt((FIRST + i) * SECTOR_BYTES));
        }
        assertThat(newest).isGreaterThan(COUNT);
        for (int count = newest - COUNT + 1; count <= newest; count++) {
            int at = (FIRST + count % COUNT) * SECTOR_BYTES;
            for (int word = 0; word < SECTOR_BYTES; word += Integer.BYTES) {
                assertThat(counts.getInt(at + word)).as("at byte %d", at + word).isEqualTo(count);
            }
        }
    }
}
