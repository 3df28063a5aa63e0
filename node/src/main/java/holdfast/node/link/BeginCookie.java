package holdfast.node.link;

import holdfast.engine.migrate.Feature;
import holdfast.wire.link.LinkMessage;

import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Begin: what a source has and wants.
 *
 * @param version of all cookies of a migration
 * @param qemu the source's QEMU version
 * @param description the domain's, as JSON
 * @param cpuFeatures what the guest's CPU has, by CPUID register
 * @param features in the order they are brought up
 * @param probes files that the source made beside the disks' images: who sees them has the same
 *     storage
 * @param storage what it says of its disks; null where it cannot send any
 * @param staying how it is to stay protected; null where it is not to, or from an older source
 * @param intent an older source does not say it: it moves the domain
 */
public record BeginCookie(
        int version,
        String qemu,
        String description,
        Map<String, Long> cpuFeatures,
        List<Feature> features,
        List<String> probes,
        Storage storage,
        Staying staying,
        Intent intent) {
    /** What OPEN_MIGRATION is for. */
    public enum Intent {
        /** The domain moves. */
        MOVE,
        /** Whether it could is all that is asked: the answer ends it. */
        ASK
    }

    /**
     * The wish that a domain stay protected, which moves with it.
     *
     * @param host that the source's node listens on; empty: where it connects from
     * @param port of that node
     * @param wish as JSON, without the destination
     */
    public record Staying(String host, int port, String wish) {
        public Staying {
            Objects.requireNonNull(host, "staying.host");
            Objects.requireNonNull(wish, "staying.wish");
            if (port < 1 || port > 0xFFFF) {
                throw new IllegalArgumentException("staying.port: " + port);
            }
        }
    }

    /**
     * @param wish what the operator wants
     * @param disks that the guest may write
     */
    public record Storage(Wish wish, List<Disk> disks) {
        public Storage {
            Objects.requireNonNull(wish, "storage.wish");
            disks = disks == null ? List.of() : List.copyOf(disks);
            if (disks.stream().map(Disk::disk).distinct().count() != disks.size()) {
                throw new IllegalArgumentException("storage.disks: one of them twice");
            }
        }
    }

    /** What becomes of disks that the guest may write. */
    public enum Wish {
        /** Those that the destination does not share are copied. */
        AUTO,
        /** All must be shared. */
        SHARED,
        /** All are copied. */
        COPY
    }

    /**
     * @param disk index of the domain's disk
     * @param bytes what the guest sees of it
     * @param allocatedBytes what the image takes
     * @param name of the image's file, beyond symbolic links
     * @param probe name of a file beside it, which holds the migration's id; empty for a block
     *     device
     */
    public record Disk(int disk, long bytes, long allocatedBytes, String name, String probe) {
        public Disk {
            Objects.requireNonNull(name, "storage.disks.name");
            Objects.requireNonNull(probe, "storage.disks.probe");
            if (disk < 0
                    || disk > 0xFFFF
                    || bytes < 1
                    || bytes > LinkMessage.DISK_BYTES_MAX
                    || allocatedBytes < 0) {
                throw new IllegalArgumentException(
                        "storage.disks: disk %d of %d bytes, %d allocated"
                                .formatted(disk, bytes, allocatedBytes));
            }
        }
    }

    public BeginCookie {
        cpuFeatures = cpuFeatures == null ? Map.of() : Map.copyOf(cpuFeatures);
        features = features == null ? List.of() : List.copyOf(features);
        probes = probes == null ? List.of() : List.copyOf(probes);
        intent = intent == null ? Intent.MOVE : intent;
    }
}
