package holdfast.qemu.qmp;

import java.util.Comparator;

/** A QEMU release, ordered by age: 7.2.22 comes before 10.0.2. */
public record QemuVersion(int major, int minor, int micro) implements Comparable<QemuVersion> {
    private static final Comparator<QemuVersion> BY_AGE =
            Comparator.comparingInt(QemuVersion::major)
                    .thenComparingInt(QemuVersion::minor)
                    .thenComparingInt(QemuVersion::micro);

    @Override
    public int compareTo(QemuVersion other) {
        return BY_AGE.compare(this, other);
    }

    @Override
    public String toString() {
        return major + "." + minor + "." + micro;
    }
}
