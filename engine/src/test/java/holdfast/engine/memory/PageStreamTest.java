package holdfast.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.port.GuestMemory;
import holdfast.wire.ProtocolException;

import org.junit.jupiter.api.Test;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.Channels;
import java.util.List;
import java.util.Random;

class PageStreamTest {
    private static final int PAGES = 3_000;

    @Test
    void rounds_of_random_writes_arrive_whole_and_the_digests_agree() throws Exception {
        Random random = new Random(4);
        for (int keptPages : List.of(0, 100, PAGES)) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment here = arena.allocate((long) PAGES * 4096);
                MemorySegment there = arena.allocate((long) PAGES * 4096);
                ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                CheckpointDigest sent;
                long deltas = 0;
                try (PageSender sender =
                        new PageSender(PAGES, keptPages, Channels.newChannel(bytes))) {
                    PfnSet dirty = new PfnSet(PAGES);
                    dirty.fill();
                    write(random, here, new PfnSet(PAGES), 2_000);
                    sender.pages(dirty, GuestMemory.over(here), PageSender.Known.ZEROES);
                    for (int round = 0; round < 5; round++) {
                        dirty.clear();
                        write(random, here, dirty, 300);
                        deltas +=
                                sender.pages(dirty, GuestMemory.over(here), PageSender.Known.OLDER)
                                        .deltaPages();
                    }
                    sender.base(arena.allocate(100).fill((byte) 1));
                    sender.sections(arena.allocate(50).fill((byte) 2));
                    sender.sections(arena.allocate(7).fill((byte) 3));
                    // What the state's save itself wrote follows it.
                    dirty.clear();
                    write(random, here, dirty, 3);
                    sender.pages(dirty, GuestMemory.over(here), PageSender.Known.OLDER);
                    sent = sender.end();
                }
                assertThat(deltas > 0).isEqualTo(keptPages > 0);
                try (PageReceiver receiver =
                        new PageReceiver(
                                GuestMemory.over(there),
                                Channels.newChannel(
                                        new ByteArrayInputStream(bytes.toByteArray())))) {
                    assertThat(receiver.next()).isInstanceOf(PageReceiver.Read.Base.class);
                    assertThat(receiver.next()).isInstanceOf(PageReceiver.Read.Sections.class);
                    assertThat(receiver.next()).isInstanceOf(PageReceiver.Read.Sections.class);
                    assertThat(receiver.next()).isEqualTo(new PageReceiver.Read.Whole(sent));
                    assertThat(receiver.base().orElseThrow().byteSize()).isEqualTo(100);
                    assertThat(receiver.sections())
                            .extracting(MemorySegment::byteSize)
                            .containsExactly(50L, 7L);
                }
                assertThat(here.mismatch(there)).isEqualTo(-1);
            }
        }
    }

    private static void write(Random random, MemorySegment memory, PfnSet dirty, int writes) {
        for (int i = 0; i < writes; i++) {
            // A few pages over and over, the others now and then.
            int pfn = random.nextInt(3) == 0 ? random.nextInt(PAGES) : random.nextInt(60);
            dirty.add(pfn);
            long at = (long) pfn * 4096;
            if (random.nextInt(10) == 0) {
                memory.asSlice(at, 4096).fill((byte) 0);
            } else {
                memory.set(ValueLayout.JAVA_LONG, at + 8L * random.nextInt(512), random.nextLong());
            }
        }
    }

    @Test
    void a_stream_that_is_cut_anywhere_ends_or_is_refused_and_never_counts_as_whole()
            throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (Arena arena = Arena.ofConfined();
                PageSender sender = new PageSender(16, 16, Channels.newChannel(bytes))) {
            MemorySegment here = arena.allocate(16 * 4096).fill((byte) 7);
            PfnSet all = new PfnSet(16);
            all.fill();
            sender.pages(all, GuestMemory.over(here), PageSender.Known.ZEROES);
            sender.sections(arena.allocate(32));
            sender.end();
        }
        byte[] whole = bytes.toByteArray();
        for (int length = 0; length < whole.length; length += 97) {
            try (Arena arena = Arena.ofConfined();
                    PageReceiver receiver =
                            new PageReceiver(
                                    GuestMemory.over(arena.allocate(16 * 4096)),
                                    Channels.newChannel(
                                            new ByteArrayInputStream(whole, 0, length)))) {
                PageReceiver.Read read = receiver.next();
                if (read instanceof PageReceiver.Read.Sections) {
                    read = receiver.next();
                }
                assertThat(read).isInstanceOf(PageReceiver.Read.Ended.class);
            } catch (ProtocolException refused) {
                assertThat(refused.offset()).isBetween(0L, (long) length);
            }
        }
    }

    @Test
    void a_base_after_device_sections_is_refused() throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (Arena arena = Arena.ofConfined();
                PageSender sender = new PageSender(16, 0, Channels.newChannel(bytes))) {
            sender.sections(arena.allocate(32));
            sender.base(arena.allocate(32));
        }
        try (Arena arena = Arena.ofConfined();
                PageReceiver receiver =
                        new PageReceiver(
                                GuestMemory.over(arena.allocate(16 * 4096)),
                                Channels.newChannel(
                                        new ByteArrayInputStream(bytes.toByteArray())))) {
            assertThat(receiver.next()).isInstanceOf(PageReceiver.Read.Sections.class);
            assertThatThrownBy(receiver::next)
                    .isInstanceOf(ProtocolException.class)
                    .hasMessageContaining("index 1, and then 0");
        }
    }

    @Test
    void pages_beyond_the_memory_are_refused() throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (Arena arena = Arena.ofConfined();
                PageSender sender = new PageSender(16, 0, Channels.newChannel(bytes))) {
            MemorySegment here = arena.allocate(16 * 4096).fill((byte) 7);
            PfnSet all = new PfnSet(16);
            all.fill();
            sender.pages(all, GuestMemory.over(here), PageSender.Known.ZEROES);
        }
        try (Arena arena = Arena.ofConfined();
                PageReceiver receiver =
                        new PageReceiver(
                                GuestMemory.over(arena.allocate(8 * 4096)),
                                Channels.newChannel(
                                        new ByteArrayInputStream(bytes.toByteArray())))) {
            assertThatThrownBy(receiver::next)
                    .isInstanceOf(ProtocolException.class)
                    .hasMessageContaining("PFN");
        }
    }
}
