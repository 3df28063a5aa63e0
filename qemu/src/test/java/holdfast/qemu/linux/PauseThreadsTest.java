package holdfast.qemu.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

class PauseThreadsTest {
    private static final int FIFO = 1;
    private static final Syscalls.Scheduling ORDINARY = new Syscalls.Scheduling(0, 0, false);
    private static final Syscalls.Scheduling FIRST = new Syscalls.Scheduling(2, 7, true);

    private Process other;

    @BeforeEach
    void a_process() throws IOException {
        assumeThat(SchedulingRight.HELD).as("has CAP_SYS_NICE").isTrue();
        other = new ProcessBuilder("sleep", "60").start();
    }

    @AfterEach
    void end() throws InterruptedException {
        if (other != null) {
            other.destroyForcibly().waitFor();
        }
    }

    private int number() {
        return (int) other.pid();
    }

    @Test
    void another_process_runs_first_until_it_is_over() {
        PauseThreads.Held held = PauseThreads.first(other.pid(), Set.of(number()));
        assertThat(Syscalls.scheduling(number())).isEqualTo(FIRST);
        held.close();
        assertThat(Syscalls.scheduling(number())).isEqualTo(ORDINARY);
        held.close();
        assertThat(Syscalls.scheduling(number())).isEqualTo(ORDINARY);
    }

    @Test
    void batch_work_is_batch_work_again() {
        Syscalls.schedule(number(), Syscalls.Policy.BATCH);
        PauseThreads.first(other.pid(), Set.of(number())).close();
        assertThat(Syscalls.scheduling(number()).is(Syscalls.Policy.BATCH)).isTrue();
    }

    @Test
    void what_is_not_named_stays_as_it_is() {
        try (PauseThreads.Held _ = PauseThreads.first(other.pid(), Set.of())) {
            assertThat(Syscalls.scheduling(number())).isEqualTo(ORDINARY);
        }
    }

    @Test
    void who_was_given_a_policy_by_somebody_else_keeps_it() throws Exception {
        assertThat(
                        new ProcessBuilder("chrt", "--fifo", "-p", "3", "" + number())
                                .inheritIO()
                                .start()
                                .waitFor())
                .isZero();
        Syscalls.Scheduling theirs = Syscalls.scheduling(number());
        assertThat(theirs).isEqualTo(new Syscalls.Scheduling(FIFO, 3, false));
        try (PauseThreads.Held _ = PauseThreads.first(other.pid(), Set.of(number()))) {
            assertThat(Syscalls.scheduling(number())).isEqualTo(theirs);
        }
        PauseThreads.calm(other.pid());
        assertThat(Syscalls.scheduling(number())).isEqualTo(theirs);
    }

    /** As rtkit does, and systemd's CPUSchedulingResetOnFork. */
    @Test
    void who_was_given_the_same_policy_by_somebody_else_keeps_it() throws Exception {
        assertThat(
                        new ProcessBuilder(
                                        "chrt", "--reset-on-fork", "--rr", "-p", "3", "" + number())
                                .inheritIO()
                                .start()
                                .waitFor())
                .isZero();
        Syscalls.Scheduling theirs = Syscalls.scheduling(number());
        assertThat(theirs).isEqualTo(new Syscalls.Scheduling(2, 3, true));
        PauseThreads.first(other.pid(), Set.of(number())).close();
        PauseThreads.calm(other.pid());
        assertThat(Syscalls.scheduling(number())).isEqualTo(theirs);
    }

    @Test
    void nobody_runs_first_for_long() {
        PauseThreads.Held forgotten = PauseThreads.first(other.pid(), Set.of(number()), 20);
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (Syscalls.scheduling(number()).equals(FIRST) && System.nanoTime() < until) {
            Thread.onSpinWait();
        }
        assertThat(Syscalls.scheduling(number())).isEqualTo(ORDINARY);
        forgotten.close();
    }

    @Test
    void what_a_dead_daemon_left_is_taken_back() {
        PauseThreads.Held _ = PauseThreads.first(other.pid(), Set.of(number()));
        PauseThreads.calm(other.pid());
        assertThat(Syscalls.scheduling(number())).isEqualTo(ORDINARY);
    }

    @Test
    void a_process_that_has_ended_is_nobody() throws InterruptedException {
        PauseThreads.Held held = PauseThreads.first(other.pid(), Set.of(number()));
        other.destroyForcibly().waitFor();
        held.close();
        PauseThreads.first(other.pid(), Set.of(number())).close();
        PauseThreads.calm(other.pid());
    }

    @Test
    void threads_of_our_own_run_first_while_they_live() throws InterruptedException {
        CountDownLatch knows = new CountDownLatch(1);
        CountDownLatch end = new CountDownLatch(1);
        AtomicInteger number = new AtomicInteger();
        Thread thread =
                Thread.ofPlatform()
                        .start(
                                PauseThreads.body(
                                        () -> {
                                            number.set(Syscalls.threadNumber());
                                            knows.countDown();
                                            try {
                                                end.await();
                                            } catch (InterruptedException e) {
                                                Thread.currentThread().interrupt();
                                            }
                                        }));
        knows.await();
        try (PauseThreads.Held _ = PauseThreads.first(List.of(thread, Thread.currentThread()))) {
            assertThat(Syscalls.scheduling(number.get())).isEqualTo(FIRST);
            assertThat(Syscalls.scheduling(Syscalls.threadNumber()))
                    .as("runs no such body")
                    .isEqualTo(ORDINARY);
        }
        assertThat(Syscalls.scheduling(number.get())).isEqualTo(ORDINARY);
        end.countDown();
        thread.join();
        PauseThreads.first(List.of(thread)).close();
    }
}
