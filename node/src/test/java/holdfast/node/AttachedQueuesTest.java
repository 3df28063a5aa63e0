package holdfast.node;

import static holdfast.node.NodeTest.await;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/**
 * Disks of Linux's own drivers with several writes on their way at once: NCQ on AHCI, and the
 * queues of virtio-scsi. Four writers, each on a partition of its own, check what they wrote
 * against their memory.
 */
@Tag("qemu")
@Tag(LongRun.TAG)
@Timeout(300)
class AttachedQueuesTest {
    private static final int WRITERS = 4;
    private static final int PART_BYTES = DiskGuest.SLOTS * 4096;
    private static final int FIRST_BYTES = 1 << 20;
    private static final int SECTOR_BYTES = 512;
    private static final Pattern IN_FLIGHT =
            Pattern.compile("INFLIGHT sda (\\d+) writes; queues ([0-9 ]+), depth (\\d+)");

    /** A device so slow that writes meet in it. */
    private static final String DRIVE =
            "-drive file=IMAGE,format=raw,if=none,id=d,throttling.iops-write=300 ";

    /** A disk with a partition for each writer, in the table of an MBR. */
    private static byte[] disk() {
        byte[] disk = new byte[FIRST_BYTES + WRITERS * PART_BYTES];
        ByteBuffer table = ByteBuffer.wrap(disk).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < WRITERS; i++) {
            int entry = 446 + 16 * i;
            table.put(entry + 4, (byte) 0x83);
            table.putInt(entry + 8, (FIRST_BYTES + i * PART_BYTES) / SECTOR_BYTES);
            table.putInt(entry + 12, PART_BYTES / SECTOR_BYTES);
        }
        table.putShort(510, (short) 0xAA55);
        return disk;
    }

    private static String writers() {
        StringBuilder options = new StringBuilder("hf.inflight=sda");
        for (int i = 1; i <= WRITERS; i++) {
            options.append(" hf.diskwriter=sda%d,%d,0".formatted(i, DiskGuest.SLOTS));
        }
        return options.toString();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                // One queue, in which the device may answer in any order.
                "1|31|-device ide-hd,drive=d,bus=ide.0",
                "4|128|-smp 4 -device virtio-scsi-pci,id=s,num_queues=4"
                        + " -device scsi-hd,drive=d,bus=s.0",
            })
    void several_writes_on_their_way_belong_to_one_epoch_with_memory(
            int queues, int depth, String words) throws Exception {
        try (TestHosts hosts = new TestHosts();
                ForeignQemu qemu =
                        ForeignQemu.withStorageGuest(hosts, disk(), writers(), DRIVE + words)) {
            Node a = hosts.start("a");
            Node b = hosts.start("b");
            awaitSeveralInFlight(qemu.guest().serial(), queues, depth);
            awaitAllWrite(qemu.image());
            a.attach(new AttachRequest(qemu.monitor().toString(), "g"));
            a.remus(TestHosts.remus("g", b, ArbiterKind.NONE), ProgressListener.none());
            await(a, "g", s -> s.protection().epochsCommitted() >= 20);
            awaitAllWrite(qemu.image());
            AttachedDiskBusTest.requireEqual(a, b, qemu.image());
            awaitAllWrite(qemu.image());
            qemu.process().kill(Duration.ofSeconds(20));
            DomainStatus survivor = await(b, "g", s -> s.role() == Role.SURVIVOR);
            Path replica = Path.of(survivor.disks().getFirst().path());
            // Each of them has found on the disk what its memory knows.
            awaitAllWrite(replica);
            assertThat(b.status("g").state()).isEqualTo(State.RUNNING);
            b.destroy("g");
            for (int i = 0; i < WRITERS; i++) {
                Path part = hosts.directory.resolve("part" + i);
                byte[] all = Files.readAllBytes(replica);
                Files.write(
                        part,
                        java.util.Arrays.copyOfRange(
                                all,
                                FIRST_BYTES + i * PART_BYTES,
                                FIRST_BYTES + (i + 1) * PART_BYTES));
                DiskGuest.requireWritten(part);
            }
        }
    }

    /** The guest counts what its driver has given to the device. */
    private static void awaitSeveralInFlight(Path serial, int queues, int depth) throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(90);
        try (FileWatch console = FileWatch.of(serial)) {
            while (true) {
                String said =
                        Files.exists(serial)
                                ? Files.readString(serial, StandardCharsets.ISO_8859_1)
                                : "";
                assertThat(said).doesNotContain("DISK BAD").doesNotContain("NOT READY");
                List<MatchResult> found = IN_FLIGHT.matcher(said).results().toList();
                if (!found.isEmpty() && Integer.parseInt(found.getLast().group(1)) >= 2) {
                    MatchResult last = found.getLast();
                    System.out.println(last.group());
                    assertThat(last.group(2).split(" ")).hasSize(queues);
                    assertThat(Integer.parseInt(last.group(3))).isGreaterThanOrEqualTo(depth);
                    return;
                }
                assertThat(System.nanoTime() - until).as(said).isNegative();
                console.awaitWrite(until);
            }
        }
    }

    /** Every one of the writers has written more than when this was asked. */
    private static void awaitAllWrite(Path image) throws Exception {
        List<Long> from = sequences(image);
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        try (FileWatch writes = FileWatch.of(image)) {
            for (List<Long> now = from; !allAfter(from, now); now = sequences(image)) {
                assertThat(System.nanoTime() - until).as("%s, %s before", now, from).isNegative();
                writes.awaitWrite(until);
            }
        }
    }

    private static boolean allAfter(List<Long> from, List<Long> now) {
        boolean all = true;
        for (int i = 0; i < WRITERS; i++) {
            all &= now.get(i) > from.get(i) + 20;
        }
        return all;
    }

    private static List<Long> sequences(Path image) throws IOException {
        List<Long> sequences = new ArrayList<>();
        ByteBuffer part = ByteBuffer.allocate(PART_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        try (FileChannel channel = FileChannel.open(image)) {
            for (int i = 0; i < WRITERS; i++) {
                part.clear();
                channel.read(part, FIRST_BYTES + (long) i * PART_BYTES);
                long newest = 0;
                for (int at = 0; at + 4096 <= part.position(); at += 4096) {
                    newest = Math.max(newest, part.getLong(at + 16));
                }
                sequences.add(newest);
            }
        }
        return sequences;
    }
}
