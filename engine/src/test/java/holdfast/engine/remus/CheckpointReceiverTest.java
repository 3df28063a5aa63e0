package holdfast.engine.remus;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.port.GuestMemory;

import org.junit.jupiter.api.Test;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.util.ArrayList;
import java.util.List;

class CheckpointReceiverTest {
    @Test
    void aReaderThatRunsOutOfMemorySaysSo() {
        List<SecondaryEvent> posted = new ArrayList<>();
        try (CheckpointReceiver receiver =
                new CheckpointReceiver(new Replica(), new Exhausted(), posted::add)) {
            receiver.run();
        }
        assertThat(posted).singleElement().isInstanceOf(SecondaryEvent.PeerViolated.class);
        assertThat(posted.getFirst().toString()).contains("no more memory");
    }

    private record Replica(MemorySegment bytes) implements GuestMemory {
        Replica() {
            this(Arena.ofAuto().allocate(PAGE_BYTES));
        }

        @Override
        public long pages() {
            return 1;
        }
    }

    /** Stands for any allocation on the reading thread. */
    private static final class Exhausted implements ReadableByteChannel {
        @Override
        public int read(ByteBuffer target) {
            throw new OutOfMemoryError("no more memory");
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {
            // Nothing was opened.
        }
    }
}
