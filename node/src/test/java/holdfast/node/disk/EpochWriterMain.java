package holdfast.node.disk;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import java.util.UUID;

/** A daemon's disks in a process of their own, to be killed: what it writes follows from a seed. */
final class EpochWriterMain {
    static final int DISK_BYTES = 4 << 20;
    static final int BLOCK_BYTES = 4096;

    /** Small: all the ways of an epoch are gone in little time. */
    private static final DiskBounds BOUNDS =
            new DiskBounds(64 << 10, 8, 1 << 20, 64 << 20, 4 << 20, 1 << 20);

    private EpochWriterMain() {}

    /** Where an epoch's writes go. */
    interface Target {
        void write(long offsetBytes, byte[] data);

        void zero(long offsetBytes, int bytes);
    }

    static void epoch(long seed, long epoch, Target to) {
        SplittableRandom random = new SplittableRandom(seed * 1_000_003 + epoch);
        // One in four spills.
        int writes = random.nextInt(random.nextInt(4) == 0 ? 600 : 60);
        for (int i = 0; i < writes; i++) {
            int offset = random.nextInt(DISK_BYTES - 3 * BLOCK_BYTES);
            int bytes = 1 + random.nextInt(2 * BLOCK_BYTES);
            if (random.nextInt(10) == 0) {
                to.zero(offset, bytes);
            } else {
                byte[] data = new byte[bytes];
                random.nextBytes(data);
                to.write(offset, data);
            }
        }
    }

    public static void main(String[] arguments) {
        long seed = Long.parseLong(arguments[2]);
        ReplicaImages disks =
                ReplicaImages.open(
                        new SystemFiles(ImageUse.REPLICA),
                        Path.of(arguments[0]),
                        UUID.randomUUID(),
                        "web",
                        List.of(new ReplicaImages.Image(Path.of(arguments[1]), DISK_BYTES)),
                        BOUNDS);
        Target target =
                new Target() {
                    @Override
                    public void write(long offsetBytes, byte[] data) {
                        disks.write(0, offsetBytes, ByteBuffer.wrap(data));
                    }

                    @Override
                    public void zero(long offsetBytes, int bytes) {
                        disks.writeZeroes(0, offsetBytes, bytes);
                    }
                };
        for (long epoch = 0; ; epoch++) {
            epoch(seed, epoch, target);
            disks.boundary(epoch);
            disks.commit(epoch);
            System.out.println(epoch);
            System.out.flush();
            disks.apply(epoch);
        }
    }
}
