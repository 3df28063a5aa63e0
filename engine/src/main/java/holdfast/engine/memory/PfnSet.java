package holdfast.engine.memory;

import java.util.Arrays;

/**
 * A set of page frame numbers below a fixed bound, one bit a page. Not thread-safe: one owner at a
 * time.
 */
public final class PfnSet {
    /** Receives half-open runs of neighbouring PFNs, ascending. */
    @FunctionalInterface
    public interface RunVisitor {
        void run(long firstPfn, long endPfn);
    }

    private final long endPfn;
    private final long[] words;

    /** An empty set for PFNs {@code 0 <= pfn < endPfn}. */
    public PfnSet(long endPfn) {
        if (endPfn < 0 || endPfn > 64L * Integer.MAX_VALUE) {
            throw new IllegalArgumentException("endPfn " + endPfn + " out of range");
        }
        this.endPfn = endPfn;
        this.words = new long[Math.toIntExact((endPfn + 63) >>> 6)];
    }

    /** The exclusive bound of the PFNs this set can hold. */
    public long endPfn() {
        return endPfn;
    }

    public void add(long pfn) {
        check(pfn, pfn + 1);
        words[(int) (pfn >>> 6)] |= 1L << pfn;
    }

    /** Adds {@code firstPfn <= pfn < endPfn}. */
    public void addRun(long firstPfn, long endPfn) {
        check(firstPfn, endPfn);
        if (firstPfn == endPfn) {
            return;
        }
        int first = (int) (firstPfn >>> 6);
        int last = (int) ((endPfn - 1) >>> 6);
        long head = -1L << firstPfn;
        long tail = -1L >>> -endPfn;
        if (first == last) {
            words[first] |= head & tail;
        } else {
            words[first] |= head;
            Arrays.fill(words, first + 1, last, -1L);
            words[last] |= tail;
        }
    }

    public void addAll(PfnSet other) {
        if (other.endPfn != endPfn) {
            throw new IllegalArgumentException(
                    "sets of different bounds: " + endPfn + " and " + other.endPfn);
        }
        for (int i = 0; i < words.length; i++) {
            words[i] |= other.words[i];
        }
    }

    public void removeAll(PfnSet other) {
        if (other.endPfn != endPfn) {
            throw new IllegalArgumentException(
                    "sets of different bounds: " + endPfn + " and " + other.endPfn);
        }
        for (int i = 0; i < words.length; i++) {
            words[i] &= ~other.words[i];
        }
    }

    public void fill() {
        addRun(0, endPfn);
    }

    public void clear() {
        Arrays.fill(words, 0);
    }

    public boolean contains(long pfn) {
        check(pfn, pfn + 1);
        return (words[(int) (pfn >>> 6)] & 1L << pfn) != 0;
    }

    public boolean isEmpty() {
        for (long word : words) {
            if (word != 0) {
                return false;
            }
        }
        return true;
    }

    /** The number of PFNs in the set. */
    public long count() {
        long count = 0;
        for (long word : words) {
            count += Long.bitCount(word);
        }
        return count;
    }

    /** The smallest member at or after {@code fromPfn}, or -1. */
    public long next(long fromPfn) {
        if (fromPfn >= endPfn) {
            return -1;
        }
        int i = (int) (fromPfn >>> 6);
        long word = words[i] & (-1L << fromPfn);
        while (word == 0) {
            if (++i == words.length) {
                return -1;
            }
            word = words[i];
        }
        return ((long) i << 6) + Long.numberOfTrailingZeros(word);
    }

    /** Visits maximal runs of members in ascending order. */
    public void forEachRun(RunVisitor visitor) {
        long first = next(0);
        while (first >= 0) {
            long end = nextClear(first);
            visitor.run(first, end);
            first = next(end);
        }
    }

    private long nextClear(long fromPfn) {
        int i = (int) (fromPfn >>> 6);
        long word = ~words[i] & (-1L << fromPfn);
        while (word == 0) {
            if (++i == words.length) {
                return endPfn;
            }
            word = ~words[i];
        }
        return Math.min(endPfn, ((long) i << 6) + Long.numberOfTrailingZeros(word));
    }

    private void check(long firstPfn, long endPfn) {
        if (firstPfn < 0 || firstPfn > endPfn || endPfn > this.endPfn) {
            throw new IllegalArgumentException(
                    "PFNs " + firstPfn + ".." + endPfn + " outside 0.." + this.endPfn);
        }
    }
}
