package holdfast.bench;

import java.util.Arrays;

/** Measured values of one thing. Grows; not thread-safe. */
final class Samples {
    private double[] values = new double[256];
    private int count;

    void add(double value) {
        if (count == values.length) {
            values = Arrays.copyOf(values, 2 * count);
        }
        values[count++] = value;
    }

    int count() {
        return count;
    }

    /**
     * The smallest value that at least {@code share} (0 to 1) of all values do not exceed; not a
     * number where there are none.
     */
    double quantile(double share) {
        if (count == 0) {
            return Double.NaN;
        }
        double[] sorted = Arrays.copyOf(values, count);
        Arrays.sort(sorted);
        return sorted[Math.max(0, (int) Math.ceil(share * count) - 1)];
    }

    double median() {
        return quantile(0.5);
    }
}
