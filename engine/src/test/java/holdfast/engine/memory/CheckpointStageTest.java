package holdfast.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.lang.foreign.MemorySegment;

class CheckpointStageTest {
    private static final MemorySegment NO_BYTES = MemorySegment.ofArray(new byte[0]);

    @Test
    void pagesWithoutBytesAreBoundedToo() {
        try (CheckpointStage stage = new CheckpointStage(1 << 20, 4)) {
            stage.addDeltas(new long[] {0, 1, 2}, new int[3], NO_BYTES);
            assertThat(stage.hasRoom(0, 1)).isTrue();
            assertThat(stage.hasRoom(0, 2)).isFalse();
            stage.addDeltas(new long[0], new int[0], NO_BYTES);
            assertThat(stage.pages()).isEqualTo(3);
            stage.clear();
            assertThat(stage.hasRoom(0, 4)).isTrue();
        }
    }
}
