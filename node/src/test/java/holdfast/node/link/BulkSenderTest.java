package holdfast.node.link;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

class BulkSenderTest {
    private static final int PARTS = 5_000;

    @Test
    void a_device_state_comes_in_many_parts_while_the_last_pages_wait_for_the_link()
            throws Exception {
        List<String> broken = new ArrayList<>();
        List<Integer> left = new ArrayList<>();
        CountDownLatch link = new CountDownLatch(1);
        CountDownLatch all = new CountDownLatch(PARTS);
        BulkSender sender = new BulkSender("b", broken::add);
        sender.start();
        try {
            sender.transmit(() -> awaitLink(link));
            for (int i = 0; i < PARTS; i++) {
                int part = i;
                sender.transmit(
                        () -> {
                            left.add(part);
                            all.countDown();
                        });
            }
            link.countDown();
            assertThat(all.await(10, TimeUnit.SECONDS)).isTrue();
        } finally {
            sender.join(TimeUnit.SECONDS.toNanos(5));
        }
        assertThat(broken).isEmpty();
        assertThat(left).isEqualTo(IntStream.range(0, PARTS).boxed().toList());
    }

    private static void awaitLink(CountDownLatch link) {
        try {
            assertThat(link.await(10, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
