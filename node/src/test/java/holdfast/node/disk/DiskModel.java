package holdfast.node.disk;

import holdfast.engine.port.ReplicaDisks;
import holdfast.wire.disk.JournalHeader;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.SplittableRandom;
import java.util.UUID;

/** Two small disks as plain arrays, and random writes that go to them and to what is tested. */
final class DiskModel {
    static final Path JOURNALS = Path.of("/sim/journals");
    static final UUID SESSION = UUID.fromString("01020304-0506-0708-090a-0b0c0d0e0f10");
    static final List<Path> PATHS = List.of(Path.of("/sim/a.img"), Path.of("/sim/b.img"));
    private static final int[] SIZES = {6000, 1500};

    /** Every limit is met all the time. */
    static final DiskBounds BOUNDS = new DiskBounds(512, 4, 2048, 1 << 20, 4096, 2048);

    final byte[][] disks = {new byte[SIZES[0]], new byte[SIZES[1]]};
    private final SplittableRandom random;

    DiskModel(SplittableRandom random) {
        this.random = random;
    }

    static JournalHeader header() {
        return new JournalHeader(
                1,
                SESSION,
                "web",
                OptionalLong.empty(),
                List.of(
                        new JournalHeader.Disk(PATHS.get(0).toString(), SIZES[0]),
                        new JournalHeader.Disk(PATHS.get(1).toString(), SIZES[1])));
    }

    /** Images that hold something older. */
    static void makeImages(DiskFiles files, SplittableRandom random) throws Exception {
        for (int disk = 0; disk < SIZES.length; disk++) {
            byte[] old = new byte[SIZES[disk]];
            random.nextBytes(old);
            files.create(PATHS.get(disk)).write(ByteBuffer.wrap(old), 0);
        }
        files.forceDirectory(Path.of("/sim"));
    }

    static ReplicaImages open(DiskFiles files) throws Exception {
        List<ImageFile> images = new ArrayList<>();
        for (Path path : PATHS) {
            images.add(new ImageFile(path, files, files.openImage(path)));
        }
        return ReplicaImages.begin(files, JOURNALS, header(), images, BOUNDS);
    }

    /** The whole of both disks. */
    void synchronise(ReplicaDisks to) {
        for (int disk = 0; disk < SIZES.length; disk++) {
            int half = SIZES[disk] / 2;
            random.nextBytes(disks[disk]);
            java.util.Arrays.fill(disks[disk], half, SIZES[disk], (byte) 0);
            to.write(disk, 0, ByteBuffer.wrap(disks[disk], 0, half));
            to.writeZeroes(disk, half, SIZES[disk] - half);
        }
    }

    void write(ReplicaDisks to) {
        int disk = random.nextInt(SIZES.length);
        int bytes = 1 + random.nextInt(random.nextInt(8) == 0 ? SIZES[disk] : 300);
        int offset = random.nextInt(SIZES[disk] - Math.min(bytes, SIZES[disk]) + 1);
        bytes = Math.min(bytes, SIZES[disk] - offset);
        if (random.nextInt(6) == 0) {
            java.util.Arrays.fill(disks[disk], offset, offset + bytes, (byte) 0);
            to.writeZeroes(disk, offset, bytes);
            return;
        }
        byte[] data = new byte[bytes];
        random.nextBytes(data);
        System.arraycopy(data, 0, disks[disk], offset, bytes);
        ByteBuffer given = ByteBuffer.allocateDirect(bytes + 5).position(3);
        given.put(data).limit(3 + bytes).position(3);
        to.write(disk, offset, given);
        if (given.position() != 3 || given.remaining() != bytes) {
            throw new AssertionError("the data was only borrowed");
        }
    }

    byte[][] copy() {
        return new byte[][] {disks[0].clone(), disks[1].clone()};
    }
}
