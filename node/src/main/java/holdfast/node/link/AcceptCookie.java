package holdfast.node.link;

import java.util.List;
import java.util.Objects;

/**
 * Begin, answered: what the destination does not share with the source.
 *
 * @param version of all cookies of a migration
 * @param copies disks that must travel, in the order of their numbers on DISK
 */
public record AcceptCookie(int version, List<Copy> copies) {
    public AcceptCookie {
        copies = copies == null ? List.of() : List.copyOf(copies);
    }

    /**
     * @param disk index of the domain's disk
     * @param bytes what the guest sees of it
     * @param path of the image that is filled
     */
    public record Copy(int disk, long bytes, String path) {
        public Copy {
            Objects.requireNonNull(path, "copies.path");
        }
    }
}
