package holdfast.qemu.qmp;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.HypervisorException;
import holdfast.qemu.disk.RescueMonitor;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

@Timeout(20)
class QmpClientTest {
    private static final Duration LIMIT = Duration.ofSeconds(5);
    private static final Duration SHORT = Duration.ofMillis(150);

    @Test
    void greets_and_negotiates() throws Exception {
        try (FakeMonitor monitor = FakeMonitor.playing(FakeMonitor::welcome);
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            assertThat(client.greeting().version()).isEqualTo(new QemuVersion(7, 2, 22));
            assertThat(client.greeting().packaging()).isEqualTo("Debian");
            assertThat(client.greeting().version()).isLessThan(new QemuVersion(10, 0, 2));
        }
    }

    @Test
    void returns_values_with_events_in_between() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    String line = m.hear("\"execute\":\"query-status\"");
                                    assertThat(line).contains("\"arguments\":{\"deep\":[1,true]}");
                                    m.write(
                                            "{\"timestamp\": {\"seconds\": 3, \"microseconds\": 7},"
                                                    + " \"event\": \"STOP\"}\r\n{\"ret");
                                    m.write("urn\": {\"status\": \"paused\"}, \"id\": ");
                                    m.write(m.lastId() + "}\r\n{\"event\": \"RESUME\", \"data\":");
                                    m.write("{\"a\": 1}}\n");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            BlockingQueue<QmpEvent> events = new LinkedBlockingQueue<>();
            client.subscribe(events::add);
            var status = client.execute("query-status", Map.of("deep", List.of(1, true)), LIMIT);
            assertThat(status.get("status").textValue()).isEqualTo("paused");
            QmpEvent stop = events.poll(5, TimeUnit.SECONDS);
            assertThat(stop.name()).isEqualTo("STOP");
            assertThat(stop.timestampMicros()).isEqualTo(3_000_007);
            assertThat(stop.data().isEmpty()).isTrue();
            QmpEvent resume = events.poll(5, TimeUnit.SECONDS);
            assertThat(resume.name()).isEqualTo("RESUME");
            assertThat(resume.data().get("a").intValue()).isEqualTo(1);
            monitor.finished();
        }
    }

    @Test
    void a_refusal_is_an_exception_or_a_value_as_the_caller_likes() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    for (int i = 0; i < 2; i++) {
                                        m.hear("nonsense");
                                        m.write(
                                                "{\"error\": {\"class\": \"CommandNotFound\","
                                                        + " \"desc\": \"no such\"}, \"id\": "
                                                        + m.lastId()
                                                        + "}\r\n");
                                    }
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            assertThatThrownBy(() -> client.execute("nonsense"))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessage("nonsense: CommandNotFound: no such");
            assertThat(client.request("nonsense", Map.of(), LIMIT))
                    .isEqualTo(new QmpReply.Failed("CommandNotFound", "no such"));
        }
    }

    @Test
    void a_timeout_costs_one_command_and_its_late_reply_is_dropped() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("slow");
                                    String slow = m.lastId();
                                    m.hear("quick");
                                    m.write(
                                            "{\"return\": {\"late\": 1}, \"id\": "
                                                    + slow
                                                    + "}\r\n");
                                    m.answer("{\"late\": 0}");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            assertThatThrownBy(() -> client.execute("slow", Map.of(), SHORT))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("slow: no answer within 150 ms");
            assertThat(client.execute("quick").get("late").intValue()).isZero();
        }
    }

    @Test
    void an_end_of_file_in_the_middle_of_a_reply_fails_the_command_and_is_told_once()
            throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("stop");
                                    m.write("{\"return\": {");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            AtomicInteger told = new AtomicInteger();
            client.onClosed(
                    () -> {
                        told.incrementAndGet();
                        go.countDown();
                    });
            assertThatThrownBy(() -> client.execute("stop"))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("end of file 12 bytes into a message");
            assertThat(go.await(5, TimeUnit.SECONDS)).isTrue();
            assertThat(client.closedBecause()).isPresent();
            assertThatThrownBy(() -> client.execute("cont"))
                    .isInstanceOf(HypervisorException.class);
            CompletableFuture<Thread> late = new CompletableFuture<>();
            client.onClosed(() -> late.complete(Thread.currentThread()));
            assertThat(late.getNow(null)).isSameAs(Thread.currentThread());
            assertThat(told).hasValue(1);
        }
    }

    @Test
    void closing_it_ourselves_is_no_death_notice() throws Exception {
        try (FakeMonitor monitor =
                FakeMonitor.playing(
                        m -> {
                            m.welcome();
                            m.untilClosed();
                        })) {
            QmpClient client = QmpClient.connect(monitor.socket, LIMIT);
            AtomicInteger told = new AtomicInteger();
            client.onClosed(told::incrementAndGet);
            client.close();
            client.onClosed(told::incrementAndGet);
            monitor.finished();
            assertThat(told).hasValue(0);
            assertThat(client.closedBecause()).isEmpty();
            assertThatThrownBy(() -> client.execute("stop"))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("closed by us");
            assertThatThrownBy(() -> client.awaitEvent("STOP", e -> true, LIMIT))
                    .isInstanceOf(HypervisorException.class);
        }
    }

    @Test
    void an_event_that_comes_before_the_wait_is_not_missed() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("job");
                                    m.write("{\"event\": \"READY\", \"data\": {\"id\": \"x\"}}\n");
                                    m.write("{\"event\": \"READY\", \"data\": {\"id\": \"m0\"}}\n");
                                    m.answer("{}");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT);
                QmpClient.ExpectedEvent ready =
                        client.expect("READY", e -> e.data().path("id").asText().equals("m0"))) {
            client.execute("job");
            assertThat(ready.await(SHORT).data().get("id").textValue()).isEqualTo("m0");
        }
    }

    @Test
    void an_event_that_never_comes_and_one_cut_off_by_a_death_are_told_apart() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("die");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            assertThatThrownBy(() -> client.awaitEvent("STOP", e -> true, SHORT))
                    .hasMessageContaining("event STOP: no answer within 150 ms");
            try (QmpClient.ExpectedEvent stop = client.expect("STOP", e -> true)) {
                assertThatThrownBy(() -> client.execute("die")).hasMessageContaining("closed by");
                assertThatThrownBy(() -> stop.await(LIMIT)).hasMessageContaining("closed by QEMU");
            }
        }
    }

    @Test
    void a_command_from_a_subscriber_is_refused_and_a_failing_subscriber_harms_nobody()
            throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("go");
                                    m.write("{\"event\": \"STOP\"}\n");
                                    m.answer("{}");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            CompletableFuture<Throwable> refused = new CompletableFuture<>();
            client.subscribe(
                    e -> {
                        try {
                            client.execute("cont");
                        } catch (IllegalStateException expected) {
                            refused.complete(expected);
                            throw expected;
                        }
                    });
            client.execute("go");
            assertThat(refused.get(5, TimeUnit.SECONDS)).hasMessageContaining("reader thread");
        }
    }

    @Test
    void out_of_band_is_negotiated_and_spoken() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.write(FakeMonitor.GREETING);
                                    assertThat(m.hear("qmp_capabilities"))
                                            .contains("\"enable\":[\"oob\"]");
                                    m.answer("{}");
                                    m.hear("\"exec-oob\":\"yank\"");
                                    m.answer("{}");
                                });
                QmpClient client = QmpClient.connectOutOfBand(monitor.socket, LIMIT)) {
            client.executeOutOfBand("yank", Map.of("instances", List.of()), LIMIT);
            monitor.finished();
        }
    }

    @Test
    void where_it_is_offered_out_of_band_is_asked_for_and_not_where_it_is_not() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.write(FakeMonitor.GREETING);
                                    assertThat(m.hear("qmp_capabilities"))
                                            .contains("\"enable\":[\"oob\"]");
                                    m.answer("{}");
                                });
                QmpClient _ = QmpClient.connect(monitor.socket, LIMIT)) {
            monitor.finished();
        }
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.write(FakeMonitor.GREETING.replace("\"oob\"", ""));
                                    assertThat(m.hear("qmp_capabilities")).doesNotContain("enable");
                                    m.answer("{}");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            monitor.finished();
            assertThatThrownBy(
                            () -> RescueMonitor.open(client, monitor.socket.resolveSibling("none")))
                    .as("nothing is mirrored that could not be cut")
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("offers no out-of-band commands")
                    .hasMessageContaining("-qmp unix:");
            assertThatThrownBy(() -> client.executeOutOfBand("yank", Map.of(), LIMIT))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("offers no out-of-band commands");
        }
    }

    @Test
    void a_primed_command_is_finished_by_executing_it() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.awaitBytes("{\"execute\":\"stop\",\"id\":2");
                                    m.hear("}");
                                    m.answerTo(2, "{}");
                                    m.hear("{\"execute\":\"cont\",\"id\":3}");
                                    m.answerTo(3, "{}");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            client.prime(new QmpCommand("stop"));
            client.prime(new QmpCommand("stop"));
            client.execute("stop");
            client.execute("cont");
            monitor.finished();
        }
    }

    @Test
    void the_next_command_is_primed_with_the_end_of_the_one_before() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("{\"execute\":\"stop\",\"id\":2}");
                                    m.awaitBytes("{\"execute\":\"cont\",\"id\":3");
                                    m.answerTo(2, "{}");
                                    m.hear("}");
                                    m.answerTo(3, "{}");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            client.executeBefore(new QmpCommand("cont"), new QmpCommand("stop"), LIMIT);
            client.execute("cont");
            monitor.finished();
        }
    }

    @Test
    void another_command_withdraws_a_primed_one_and_nobody_misses_its_refusal() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("{\"execute\":\"stop\",\"id\":2,\"withdrawn\":1}");
                                    m.write(
                                            "{\"error\": {\"class\": \"GenericError\","
                                                    + " \"desc\": \"QMP input member 'withdrawn' is"
                                                    + " unexpected\"}, \"id\": 2}\r\n");
                                    m.hear("{\"execute\":\"query-status\",\"id\":3}");
                                    m.answer("{\"status\": \"running\"}");
                                    m.hear("{\"execute\":\"stop\",\"id\":4}");
                                    m.answer("{}");
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            client.prime(new QmpCommand("stop"));
            assertThat(client.execute("query-status").path("status").asText()).isEqualTo("running");
            client.execute("stop");
            monitor.finished();
        }
    }

    @Test
    void priming_a_monitor_that_is_gone_is_left_to_whoever_executes() throws Exception {
        try (FakeMonitor monitor = FakeMonitor.playing(FakeMonitor::welcome);
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            CountDownLatch gone = new CountDownLatch(1);
            client.onClosed(gone::countDown);
            assertThat(gone.await(5, TimeUnit.SECONDS)).isTrue();
            client.prime(new QmpCommand("stop"));
            assertThatThrownBy(() -> client.execute("stop"))
                    .isInstanceOf(HypervisorException.class)
                    .hasMessageContaining("was closed by QEMU");
        }
    }

    @Test
    void many_threads_share_one_connection() throws Exception {
        int threads = 8;
        int each = 50;
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    for (int i = 0; i < threads * each; i++) {
                                        String line = m.hear("echo");
                                        int at = line.indexOf("\"n\":") + 4;
                                        m.answer(line.substring(at, line.indexOf('}', at)));
                                    }
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            AtomicInteger right = new AtomicInteger();
            List<Thread> callers = new ArrayList<>();
            for (int t = 0; t < threads; t++) {
                int base = t * each;
                callers.add(
                        Thread.ofVirtual()
                                .start(
                                        () -> {
                                            for (int i = base; i < base + each; i++) {
                                                var got = client.execute("echo", Map.of("n", i));
                                                if (got.intValue() == i) {
                                                    right.incrementAndGet();
                                                }
                                            }
                                        }));
            }
            for (Thread caller : callers) {
                assertThat(caller.join(Duration.ofSeconds(10))).isTrue();
            }
            assertThat(right).hasValue(threads * each);
        }
    }

    @Test
    void a_hanging_monitor_is_noticed_before_its_socket_fills_up() throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    done.await();
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            for (int i = 0; i < QmpClient.PENDING_MAX; i++) {
                assertThatThrownBy(() -> client.execute("stop", Map.of(), Duration.ofNanos(1)))
                        .hasMessageContaining("no answer");
            }
            assertThatThrownBy(() -> client.execute("stop"))
                    .hasMessageContaining("64 commands unanswered");
            done.countDown();
        }
    }

    @Test
    void nobody_there_a_busy_monitor_and_a_stranger_are_refused_with_reasons() throws Exception {
        assertThatThrownBy(() -> QmpClient.connect(java.nio.file.Path.of("/nowhere/qmp"), LIMIT))
                .isInstanceOf(HypervisorException.class)
                .hasMessageContaining("/nowhere/qmp failed");
        CountDownLatch done = new CountDownLatch(1);
        try (FakeMonitor busy = FakeMonitor.playing(m -> done.await())) {
            assertThatThrownBy(() -> QmpClient.connect(busy.socket, SHORT))
                    .hasMessageContaining("another client holds this monitor");
            done.countDown();
        }
        for (String line :
                List.of(
                        "SSH-2.0\n",
                        "[1]\n",
                        "{}\n",
                        "{\"QMP\": {}}\n",
                        "{\"error\": {}, \"id\": 1}\n",
                        "{\"return\": {}}\n",
                        "{\"event\": 5}\n",
                        "{\"return\": {}, \"id\": 1} x\n")) {
            try (FakeMonitor stranger =
                    FakeMonitor.playing(
                            m -> {
                                m.write(line);
                                m.untilClosed();
                            })) {
                assertThatThrownBy(() -> QmpClient.connect(stranger.socket, LIMIT))
                        .as(line)
                        .isInstanceOf(HypervisorException.class)
                        .hasMessageContaining("failed: ");
                stranger.finished();
            }
        }
    }

    @Test
    void an_endless_line_is_cut_off() throws Exception {
        try (FakeMonitor monitor =
                        FakeMonitor.playing(
                                m -> {
                                    m.welcome();
                                    m.hear("flood");
                                    String chunk = "x".repeat(1 << 20);
                                    for (int i = 0; i < 17; i++) {
                                        m.write(chunk);
                                    }
                                });
                QmpClient client = QmpClient.connect(monitor.socket, LIMIT)) {
            assertThatThrownBy(() -> client.execute("flood"))
                    .hasMessageContaining("a line longer than 16777216 bytes");
        }
    }
}
