package holdfast.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.SplittableRandom;

/** Against {@link BitSet}, which is the plain truth about sets of small numbers. */
class PfnSetProperties {
    /** Sizes around the word boundaries matter most: most draws are small. */
    private record Pair(PfnSet set, BitSet model) {
        static Pair random(int endPfn, SplittableRandom random) {
            Pair pair = new Pair(new PfnSet(endPfn), new BitSet(endPfn));
            int steps = random.nextInt(12);
            for (int i = 0; i < steps && endPfn > 0; i++) {
                int first = random.nextInt(endPfn);
                int end =
                        random.nextBoolean()
                                ? first + 1
                                : first + random.nextInt(endPfn - first + 1);
                if (end == first + 1) {
                    pair.set.add(first);
                } else {
                    pair.set.addRun(first, end);
                }
                pair.model.set(first, end);
            }
            return pair;
        }

        void check() {
            assertThat(set.count()).isEqualTo(model.cardinality());
            assertThat(set.isEmpty()).isEqualTo(model.isEmpty());
            for (int pfn = 0; pfn < set.endPfn(); pfn++) {
                assertThat(set.contains(pfn)).as("pfn %d", pfn).isEqualTo(model.get(pfn));
                assertThat(set.next(pfn)).as("next %d", pfn).isEqualTo(model.nextSetBit(pfn));
            }
            List<String> runs = new ArrayList<>();
            set.forEachRun((first, end) -> runs.add(first + ".." + end));
            List<String> expected = new ArrayList<>();
            for (int first = model.nextSetBit(0); first >= 0; ) {
                int end = model.nextClearBit(first);
                expected.add(first + ".." + end);
                first = model.nextSetBit(end);
            }
            assertThat(runs).isEqualTo(expected);
        }
    }

    @Property
    void it_holds_what_was_added(@ForAll @IntRange(max = 300) int endPfn, @ForAll long seed) {
        Pair.random(endPfn, new SplittableRandom(seed)).check();
    }

    @Property
    void union_and_difference_are_those_of_sets(
            @ForAll @IntRange(max = 300) int endPfn, @ForAll long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        Pair left = Pair.random(endPfn, random);
        Pair right = Pair.random(endPfn, random);
        left.set.addAll(right.set);
        left.model.or(right.model);
        left.check();
        Pair third = Pair.random(endPfn, random);
        left.set.removeAll(third.set);
        left.model.andNot(third.model);
        left.check();
        right.check();
        third.check();
    }

    @Property
    void full_and_cleared_sets_are_so(@ForAll @IntRange(max = 300) int endPfn) {
        PfnSet set = new PfnSet(endPfn);
        set.fill();
        assertThat(set.count()).isEqualTo(endPfn);
        assertThat(set.next(endPfn)).isEqualTo(-1);
        set.clear();
        assertThat(set.isEmpty()).isTrue();
    }

    @Property
    void what_lies_outside_is_refused(
            @ForAll @IntRange(max = 300) int endPfn, @ForAll @LongRange(min = 0) long beyond) {
        PfnSet set = new PfnSet(endPfn);
        long outside = Math.max(endPfn, beyond);
        assertThatThrownBy(() -> set.add(outside)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> set.contains(outside))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> set.addRun(-1, 0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> set.addRun(0, endPfn + 1L))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> set.addRun(1, 0)).isInstanceOf(IllegalArgumentException.class);
        assertThat(set.isEmpty()).isTrue();
    }

    @Example
    void sets_of_different_bounds_do_not_mix() {
        assertThatThrownBy(() -> new PfnSet(64).addAll(new PfnSet(65)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new PfnSet(64).removeAll(new PfnSet(63)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new PfnSet(-1)).isInstanceOf(IllegalArgumentException.class);
    }
}
