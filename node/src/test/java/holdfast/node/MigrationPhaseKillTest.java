package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.MigratingPair.Victim;
import holdfast.node.api.DomainStatus;
import holdfast.node.api.DomainStatus.State;
import holdfast.node.link.FrameProxy.Act;
import holdfast.node.link.FrameProxy.Place;
import holdfast.node.link.FrameProxy.Way;
import holdfast.wire.link.ConnectionKind;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * SIGKILL of each daemon and each QEMU while the conversation of a migration stands at a message.
 * {@code -Dholdfast.kills=all} for every pair of a moment and a victim, {@code
 * -Dholdfast.kills=FINISHED} for those of a moment.
 */
@Tag("qemu")
@Timeout(180)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MigrationPhaseKillTest {
    private static final String KILLS = System.getProperty("holdfast.kills", "");
    private static final int DEADLINE_MILLIS = 5_000;

    /** What becomes of the message that was on its way when the victim died. */
    enum Message {
        LOST,
        ARRIVES
    }

    /** Who has the domain in the end. */
    enum Owner {
        SOURCE,
        DESTINATION,
        /** Its own process was the victim. */
        NOBODY
    }

    /** A place in the conversation. */
    enum Moment {
        /** Begin: the destination has not been asked yet. */
        BEGIN("OPEN_MIGRATION", Way.THERE),
        /** Begin: it has reserved the memory; the source has not heard of it. */
        ACCEPTED("MIGRATION_ACCEPTED", Way.BACK),
        /** Prepare: its QEMU waits; the source has not heard of it. */
        PREPARED("MIGRATION_PREPARED", Way.BACK),
        /** Perform: pages of round 0 are on their way. */
        ROUNDS("STREAM", Way.THERE),
        /** The pause: everything was sent; the destination has not heard that. */
        PERFORMED("MIGRATION_PERFORMED", Way.THERE),
        /** Finish: a hook is being run. */
        HOOK("", Way.BACK),
        /** Finish: every feature is up; the source has not heard of it. */
        FINISHED("MIGRATION_FINISHED", Way.BACK),
        /** The source has handed over; the destination has not heard of it. */
        HANDED_OVER("HAND_OVER", Way.THERE),
        /** The guest runs there; the source has not heard of it. */
        TAKEN_OVER("TAKEN_OVER", Way.BACK),
        /** Confirm: the source has just heard of it. */
        CONFIRM("TAKEN_OVER", Way.BACK);

        private final String message;
        private final Way way;

        Moment(String message, Way way) {
            this.message = message;
            this.way = way;
        }

        Place place() {
            return new Place(
                    this == ROUNDS ? ConnectionKind.BULK : ConnectionKind.MIGRATION,
                    way,
                    message,
                    this == CONFIRM ? -1 : this == ROUNDS ? 4096 : 0,
                    Act.HOLD);
        }
    }

    record Case(Moment moment, Victim victim, Message message, Owner owner) {
        @Override
        public String toString() {
            return moment + " " + victim + (message == Message.ARRIVES ? ", it arrives" : "");
        }
    }

    static List<Case> cases() {
        List<Case> all = new ArrayList<>();
        for (Moment moment : Moment.values()) {
            for (Victim victim : Victim.values()) {
                boolean noQemuYet = moment == Moment.BEGIN || moment == Moment.ACCEPTED;
                if (victim == Victim.DESTINATION_QEMU && noQemuYet) {
                    continue;
                }
                all.add(new Case(moment, victim, Message.LOST, owner(moment, victim)));
            }
        }
        // A source that died after it had sent it has handed over all the same.
        for (Victim victim : List.of(Victim.SOURCE_DAEMON, Victim.SOURCE_QEMU)) {
            all.add(new Case(Moment.HANDED_OVER, victim, Message.ARRIVES, Owner.DESTINATION));
        }
        return all.stream()
                .filter(
                        each ->
                                switch (KILLS) {
                                    case "" -> isAlwaysRun(each);
                                    case "all" -> true;
                                    default -> each.toString().startsWith(KILLS);
                                })
                .toList();
    }

    private static Owner owner(Moment moment, Victim victim) {
        boolean ranThere = moment.compareTo(Moment.TAKEN_OVER) >= 0;
        return switch (victim) {
            case SOURCE_QEMU -> ranThere ? Owner.DESTINATION : Owner.NOBODY;
            case DESTINATION_QEMU -> ranThere ? Owner.NOBODY : Owner.SOURCE;
            case SOURCE_DAEMON, DESTINATION_DAEMON -> ranThere ? Owner.DESTINATION : Owner.SOURCE;
        };
    }

    /** Those that found a bug, and one for each way that recovery has. */
    private static boolean isAlwaysRun(Case each) {
        return switch (each.moment()) {
            case ACCEPTED -> each.victim() == Victim.DESTINATION_DAEMON;
            case HANDED_OVER ->
                    switch (each.victim()) {
                        case SOURCE_QEMU -> each.message() == Message.LOST;
                        case SOURCE_DAEMON -> each.message() == Message.ARRIVES;
                        case DESTINATION_DAEMON -> true;
                        case DESTINATION_QEMU -> false;
                    };
            case BEGIN, PREPARED, ROUNDS, PERFORMED, HOOK, FINISHED, TAKEN_OVER, CONFIRM -> false;
        };
    }

    private MigratingPair shared;

    private MigratingPair pair() throws Exception {
        if (shared == null) {
            shared = new MigratingPair();
        }
        return shared;
    }

    @AfterAll
    void end() throws Exception {
        if (shared != null) {
            shared.close();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void one_copy_runs_and_the_second_attempt_moves_it(Case each) throws Exception {
        MigratingPair pair = pair();
        try {
            strike(pair, each);
            pair.clear();
        } catch (Throwable e) {
            // What it left is nothing for the next one to find.
            shared = null;
            try (pair) {
                throw e;
            }
        }
    }

    private static void strike(MigratingPair pair, Case each) throws Exception {
        pair.a.client().create(pair.hosts.firmwareGuest("g"));
        Path begun = pair.hosts.directory.resolve("begun");
        Path goOn = pair.hosts.directory.resolve("go-on");
        Files.deleteIfExists(begun);
        Files.deleteIfExists(goOn);
        List<String> hooks = List.of();
        if (each.moment() == Moment.HOOK) {
            run("mkfifo", goOn.toString());
            MigrationTest.hook(
                    pair.hosts,
                    "blocking",
                    "[ $1 = deinit ] || { touch " + begun + "; read x <" + goOn + "; }");
            hooks = List.of("hook:blocking");
        }
        pair.proxy.arm(each.moment().place());
        // Sockets hold more than the guest has: it is the pace that keeps a round from its end.
        long bandwidthMib = each.moment() == Moment.ROUNDS ? 1 : 0;
        CompletableFuture<String> moving =
                pair.migrate(pair.request(hooks, bandwidthMib, DEADLINE_MILLIS));
        switch (each.moment()) {
            case HOOK -> MigratingPair.await("the hook", () -> Files.exists(begun));
            case ROUNDS -> {
                pair.proxy.awaitReached();
                MigratingPair.await("perform", () -> phase(pair).equals("perform"));
            }
            case BEGIN, ACCEPTED, PREPARED, PERFORMED, FINISHED, HANDED_OVER, TAKEN_OVER, CONFIRM ->
                    pair.proxy.awaitReached();
        }
        assertThat(pair.running()).as("copies that run at %s", each).isLessThanOrEqualTo(1);
        long killedNanos = System.nanoTime();
        pair.kill(each.victim());
        switch (each.message()) {
            case LOST -> pair.proxy.cut();
            case ARRIVES -> pair.proxy.release();
        }
        if (each.moment() == Moment.HOOK) {
            Files.writeString(goOn, "\n");
        }
        String result = moving.get(60, TimeUnit.SECONDS);
        long resultMillis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - killedNanos);
        pair.restart(each.victim());
        check(pair, each);
        System.out.printf(
                "KILL %s: %s; known after %d ms, settled after %d ms%n",
                each,
                result,
                resultMillis,
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - killedNanos));
        if (each.owner() != Owner.NOBODY) {
            pair.moveOn();
        }
    }

    private static void check(MigratingPair pair, Case each) throws Exception {
        switch (each.owner()) {
            case SOURCE -> {
                MigratingPair.await(
                        "the guest on a",
                        () -> MigratingPair.runs(pair.a.client()) && live(pair) == 1);
                assertThat(MigratingPair.runs(pair.b.client())).isFalse();
            }
            case DESTINATION -> {
                MigratingPair.await(
                        "the guest on b",
                        () -> MigratingPair.runs(pair.b.client()) && live(pair) == 1);
                assertThat(MigratingPair.runs(pair.a.client())).isFalse();
            }
            case NOBODY -> MigratingPair.await("the end", () -> live(pair) == 0);
        }
    }

    /** Copies that are not over, whatever they do. */
    private static long live(MigratingPair pair) {
        return List.of(pair.a, pair.b).stream()
                .flatMap(host -> host.client().list().stream())
                .filter(domain -> domain.state() != State.ENDED)
                .count();
    }

    private static String phase(MigratingPair pair) {
        DomainStatus status = pair.a.client().status("g");
        return status.migration() == null ? "" : status.migration().phase();
    }

    private static void run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).inheritIO().start();
        assertThat(process.waitFor()).as(String.join(" ", command)).isZero();
    }
}
