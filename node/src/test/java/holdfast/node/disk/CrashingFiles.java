package holdfast.node.disk;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeMap;

/** Files in memory that die at a chosen step, and what is left of them then. Thread-safe. */
final class CrashingFiles implements DiskFiles {
    /** The host, or the process alone: a kernel that lives keeps every write. */
    enum Death {
        PROCESS,
        HOST
    }

    /** Everything after the chosen step. */
    static final class Died extends RuntimeException {
        private static final long serialVersionUID = 1;

        Died() {
            super("died", null, false, false);
        }
    }

    private static final int SECTOR_BYTES = 512;

    private static final class Content {
        private byte[] live = new byte[0];
        private byte[] durable = new byte[0];

        /** Sectors that take room; the others are holes. */
        private BitSet sectors = new BitSet();

        long bytes() {
            return (long) sectors.cardinality() * SECTOR_BYTES;
        }
    }

    private interface NameChange {
        void on(TreeMap<Path, Content> names);
    }

    private final TreeMap<Path, Content> names;
    private final TreeMap<Path, Content> durableNames;
    private final List<NameChange> unforced = new ArrayList<>();
    private final SplittableRandom random;
    private final long dieAtStep;
    private long steps;
    private long roomBytes = Long.MAX_VALUE / 2;
    private long forcesUntilFailing = Long.MAX_VALUE;

    /**
     * @param dieAtStep the step that is not finished, from 1; 0 for none
     */
    CrashingFiles(long dieAtStep, SplittableRandom random) {
        this(new TreeMap<>(), dieAtStep, random);
    }

    private CrashingFiles(TreeMap<Path, Content> names, long dieAtStep, SplittableRandom random) {
        this.names = names;
        this.durableNames = new TreeMap<>(names);
        this.dieAtStep = dieAtStep;
        this.random = random;
    }

    /** What a new process, or a host that came back, finds. */
    synchronized CrashingFiles afterwards(Death death, long dieAtStep) {
        TreeMap<Path, Content> found = new TreeMap<>();
        TreeMap<Path, Content> left = names;
        if (death == Death.HOST) {
            left = durableNames;
            int kept = random.nextInt(unforced.size() + 1);
            for (NameChange change : unforced.subList(0, kept)) {
                change.on(left);
            }
        }
        left.forEach(
                (path, content) -> {
                    Content copy = new Content();
                    copy.live = death == Death.PROCESS ? content.live.clone() : torn(content);
                    copy.durable = copy.live.clone();
                    copy.sectors = (BitSet) content.sectors.clone();
                    copy.sectors.clear(sectorsOf(copy.live.length), Integer.MAX_VALUE);
                    found.put(path, copy);
                });
        return new CrashingFiles(found, dieAtStep, random.split());
    }

    private static int sectorsOf(long bytes) {
        return Math.toIntExact((bytes + SECTOR_BYTES - 1) / SECTOR_BYTES);
    }

    /** Each sector is old or new, and so is the length. */
    private byte[] torn(Content content) {
        boolean longer = random.nextBoolean();
        byte[] result =
                Arrays.copyOf(
                        content.durable, longer ? content.live.length : content.durable.length);
        for (int at = 0; at < result.length; at += SECTOR_BYTES) {
            int bytes = Math.min(SECTOR_BYTES, Math.min(result.length, content.live.length) - at);
            if (bytes > 0 && random.nextBoolean()) {
                System.arraycopy(content.live, at, result, at, bytes);
            }
        }
        return result;
    }

    synchronized long steps() {
        return steps;
    }

    synchronized boolean died() {
        return dieAtStep != 0 && steps >= dieAtStep;
    }

    /**
     * From here on, files may take so many bytes more together, in whole sectors. What is removed
     * or zeroed gives them back.
     */
    synchronized void limitRoom(long bytes) {
        roomBytes = bytes;
    }

    /** Of the forces from now on, this one alone, counted from 1, finds no room. */
    synchronized void failForce(long force) {
        forcesUntilFailing = force;
    }

    synchronized byte[] content(Path path) {
        return names.get(path).live.clone();
    }

    synchronized boolean exists(Path path) {
        return names.containsKey(path);
    }

    /** Whether this is the last step, which happens in part. */
    private boolean step() {
        if (died()) {
            throw new Died();
        }
        return ++steps == dieAtStep;
    }

    private void stepOrDie() {
        if (step()) {
            throw new Died();
        }
    }

    @Override
    public ImageUse use() {
        return ImageUse.REPLICA;
    }

    @Override
    public OpenFile openImage(Path path) throws IOException {
        return open(path);
    }

    @Override
    public synchronized OpenFile open(Path path) throws IOException {
        if (!names.containsKey(path)) {
            throw new NoSuchFileException(path.toString());
        }
        return new Open(names.get(path));
    }

    @Override
    public synchronized OpenFile create(Path path) {
        stepOrDie();
        Content content = new Content();
        giveBack(names.get(path));
        change(all -> all.put(path, content));
        return new Open(content);
    }

    private void giveBack(Content gone) {
        roomBytes += gone == null ? 0 : gone.bytes();
    }

    private void change(NameChange change) {
        change.on(names);
        unforced.add(change);
    }

    @Override
    public synchronized List<Path> list(Path directory) {
        return names.keySet().stream()
                .filter(path -> path.startsWith(directory) && !path.equals(directory))
                .map(path -> directory.resolve(path.getName(directory.getNameCount())))
                .distinct()
                .toList();
    }

    @Override
    public synchronized void createDirectory(Path directory) {
        stepOrDie();
    }

    @Override
    public synchronized void rename(Path from, Path to) throws IOException {
        stepOrDie();
        if (!names.containsKey(from)) {
            throw new NoSuchFileException(from.toString());
        }
        giveBack(names.get(to));
        change(
                all -> {
                    Content moved = all.remove(from);
                    if (moved != null) {
                        all.put(to, moved);
                    }
                });
    }

    @Override
    public synchronized void delete(Path path) {
        stepOrDie();
        giveBack(names.get(path));
        change(all -> all.remove(path));
    }

    @Override
    public synchronized void forceDirectory(Path directory) {
        stepOrDie();
        unforced.forEach(change -> change.on(durableNames));
        unforced.clear();
    }

    @Override
    public long usableBytes(Path path) {
        return roomBytes;
    }

    private final class Open implements OpenFile {
        private final Content content;

        Open(Content content) {
            this.content = content;
        }

        @Override
        public void write(ByteBuffer from, long position) throws IOException {
            synchronized (CrashingFiles.this) {
                boolean last = step();
                int asked = last ? random.nextInt(from.remaining() + 1) : from.remaining();
                int bytes = Math.toIntExact(Math.min(asked, allocate(position, asked)));
                int end = Math.toIntExact(position + bytes);
                if (end > content.live.length) {
                    content.live = Arrays.copyOf(content.live, end);
                }
                from.get(content.live, (int) position, bytes);
                if (last) {
                    throw new Died();
                }
                if (bytes < asked) {
                    throw full();
                }
            }
        }

        /**
         * As a kernel does, it takes what there is room for.
         *
         * @return bytes that can be written at {@code position}
         */
        private long allocate(long position, int bytes) {
            int end = sectorsOf(position + bytes);
            int sector = Math.toIntExact(position / SECTOR_BYTES);
            for (; sector < end; sector++) {
                if (!content.sectors.get(sector)) {
                    if (roomBytes < SECTOR_BYTES) {
                        return Math.max(0, (long) sector * SECTOR_BYTES - position);
                    }
                    roomBytes -= SECTOR_BYTES;
                    content.sectors.set(sector);
                }
            }
            return bytes;
        }

        private IOException full() {
            return new IOException("No space left on device");
        }

        @Override
        public int read(ByteBuffer into, long position) {
            synchronized (CrashingFiles.this) {
                if (died()) {
                    throw new Died();
                }
                int bytes =
                        (int)
                                Math.max(
                                        0,
                                        Math.min(into.remaining(), content.live.length - position));
                into.put(content.live, Math.min((int) position, content.live.length), bytes);
                return bytes;
            }
        }

        @Override
        public void zero(long position, long bytes) {
            synchronized (CrashingFiles.this) {
                boolean last = step();
                long count = last ? random.nextLong(bytes + 1) : bytes;
                Arrays.fill(content.live, (int) position, (int) (position + count), (byte) 0);
                int whole = sectorsOf(position);
                free(whole, Math.max(whole, (int) (position + count) / SECTOR_BYTES));
                if (last) {
                    throw new Died();
                }
            }
        }

        private void free(int firstSector, int endSector) {
            BitSet freed = content.sectors.get(firstSector, endSector);
            roomBytes += (long) freed.cardinality() * SECTOR_BYTES;
            content.sectors.clear(firstSector, endSector);
        }

        @Override
        public long size() {
            synchronized (CrashingFiles.this) {
                return content.live.length;
            }
        }

        @Override
        public void resize(long bytes) {
            synchronized (CrashingFiles.this) {
                stepOrDie();
                content.live = Arrays.copyOf(content.live, (int) bytes);
                int end = sectorsOf(bytes);
                free(end, Math.max(end, content.sectors.length()));
            }
        }

        @Override
        public void force() throws IOException {
            synchronized (CrashingFiles.this) {
                stepOrDie();
                if (--forcesUntilFailing == 0) {
                    throw full();
                }
                content.durable = content.live.clone();
            }
        }

        @Override
        public void close() {}
    }
}
