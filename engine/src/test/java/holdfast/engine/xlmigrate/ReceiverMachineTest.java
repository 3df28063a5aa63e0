package holdfast.engine.xlmigrate;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.xlmigrate.ReceiverEffect.AwaitPermission;
import holdfast.engine.xlmigrate.ReceiverEffect.DiscardImage;
import holdfast.engine.xlmigrate.ReceiverEffect.PublishImage;
import holdfast.engine.xlmigrate.ReceiverEffect.ReceiveStream;
import holdfast.engine.xlmigrate.ReceiverEffect.SecureImage;
import holdfast.engine.xlmigrate.ReceiverEffect.Send;
import holdfast.engine.xlmigrate.ReceiverEvent.CheckpointComplete;
import holdfast.engine.xlmigrate.ReceiverEvent.ImageFailed;
import holdfast.engine.xlmigrate.ReceiverEvent.ImagePublished;
import holdfast.engine.xlmigrate.ReceiverEvent.ImageSecured;
import holdfast.engine.xlmigrate.ReceiverEvent.PermissionReceived;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderGone;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderSilent;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderUnreachable;
import holdfast.engine.xlmigrate.ReceiverEvent.SenderViolated;
import holdfast.engine.xlmigrate.ReceiverEvent.Stopped;
import holdfast.engine.xlmigrate.ReceiverEvent.StreamComplete;
import holdfast.engine.xlmigrate.ReceiverMachine.Step;
import holdfast.engine.xlmigrate.ReceiverOutcome.DomainKept;
import holdfast.engine.xlmigrate.ReceiverOutcome.FailOver;
import holdfast.engine.xlmigrate.ReceiverOutcome.Interrupted;
import holdfast.engine.xlmigrate.ReceiverOutcome.LeftAside;
import holdfast.engine.xlmigrate.ReceiverOutcome.NothingKept;
import holdfast.engine.xlmigrate.ReceiverOutcome.SenderUntold;
import holdfast.engine.xlmigrate.ReceiverState.AwaitingPermission;
import holdfast.engine.xlmigrate.ReceiverState.Ended;
import holdfast.engine.xlmigrate.ReceiverState.Publishing;
import holdfast.engine.xlmigrate.ReceiverState.ReceivingCheckpoints;
import holdfast.engine.xlmigrate.ReceiverState.ReceivingDomain;
import holdfast.engine.xlmigrate.ReceiverState.SecuringCheckpoint;
import holdfast.engine.xlmigrate.ReceiverState.SecuringDomain;
import holdfast.wire.xen.XlToSender;
import holdfast.wire.xen.XlToSender.Banner;
import holdfast.wire.xen.XlToSender.DomainIsYoursAgain;
import holdfast.wire.xen.XlToSender.DomainReceived;
import holdfast.wire.xen.XlToSender.UnpauseResult;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;

class ReceiverMachineTest {
    private static final String WHY = "why";
    private static final Send REPORT = new Send(new UnpauseResult(1));
    private static final Send YOURS_AGAIN = new Send(new DomainIsYoursAgain());

    private static final List<ReceiverEvent> EVENTS =
            List.of(
                    new CheckpointComplete(5, 700),
                    new StreamComplete(900),
                    new SenderGone(WHY),
                    new SenderViolated(WHY),
                    new SenderSilent(WHY),
                    new SenderUnreachable(WHY),
                    new Stopped(WHY),
                    new PermissionReceived(),
                    new ImageSecured(),
                    new ImagePublished(),
                    new ImageFailed(WHY));

    private static final List<ReceiverState> STATES =
            List.of(
                    new ReceivingDomain(),
                    new ReceivingCheckpoints(0, 0),
                    new ReceivingCheckpoints(4, 600),
                    new SecuringDomain(900),
                    new AwaitingPermission(900),
                    new SecuringCheckpoint(new FailOver(4, 600, WHY)),
                    new Publishing(new DomainKept(900)),
                    new Publishing(new SenderUntold(900, WHY)),
                    new Publishing(new FailOver(4, 600, WHY)),
                    new Ended(new DomainKept(900)));

    @Test
    void the_lists_hold_every_state_and_event() {
        assertThat(classes(EVENTS)).hasSameElementsAs(permitted(ReceiverEvent.class));
        assertThat(classes(STATES)).hasSameElementsAs(permitted(ReceiverState.class));
    }

    @Test
    void a_migration_is_kept_and_given_back() {
        assertThat(ReceiverMachine.start(ReceiverMode.MIGRATE))
                .isEqualTo(
                        step(new ReceivingDomain(), new Send(new Banner()), new ReceiveStream()));
        assertThat(after(new ReceivingDomain(), new StreamComplete(900)))
                .isEqualTo(step(new SecuringDomain(900), new SecureImage(900)));
        assertThat(after(new SecuringDomain(900), new ImageSecured()))
                .isEqualTo(
                        step(
                                new AwaitingPermission(900),
                                new Send(new DomainReceived()),
                                new AwaitPermission()));
        assertThat(after(new AwaitingPermission(900), new PermissionReceived()))
                .isEqualTo(
                        step(
                                new Publishing(new DomainKept(900)),
                                REPORT,
                                YOURS_AGAIN,
                                new PublishImage()));
        assertThat(after(new Publishing(new DomainKept(900)), new ImagePublished()))
                .isEqualTo(step(new Ended(new DomainKept(900))));
    }

    @Test
    void a_sender_that_ends_between_checkpoints_is_failed_over() {
        assertThat(ReceiverMachine.start(ReceiverMode.REMUS))
                .isEqualTo(
                        step(
                                new ReceivingCheckpoints(0, 0),
                                new Send(new Banner()),
                                new ReceiveStream()));
        assertThat(after(new ReceivingCheckpoints(0, 0), new CheckpointComplete(1, 600)))
                .isEqualTo(step(new ReceivingCheckpoints(1, 600)));
        FailOver failOver = new FailOver(1, 600, WHY);
        assertThat(after(new ReceivingCheckpoints(1, 600), new SenderGone(WHY)))
                .isEqualTo(step(new SecuringCheckpoint(failOver), new SecureImage(600)));
        assertThat(after(new SecuringCheckpoint(failOver), new ImageSecured()))
                .isEqualTo(step(new Publishing(failOver), new PublishImage()));
        assertThat(after(new Publishing(failOver), new ImagePublished()))
                .isEqualTo(step(new Ended(failOver)));
    }

    @Test
    void before_the_first_checkpoint_there_is_nothing() {
        Step ended = after(new ReceivingCheckpoints(0, 0), new SenderGone(WHY));
        assertThat(ended.effects()).containsExactly(new DiscardImage());
        assertThat(ended.state())
                .isEqualTo(new Ended(new NothingKept("why; no checkpoint was complete before it")));
    }

    static List<ReceiverEvent> notTheSendersEnd() {
        return List.of(
                new SenderViolated(WHY),
                new SenderSilent(WHY),
                new SenderUnreachable(WHY),
                new Stopped(WHY),
                new ImageFailed(WHY));
    }

    @ParameterizedTest
    @MethodSource("notTheSendersEnd")
    void only_the_end_of_file_is_a_fail_over_and_the_last_checkpoint_is_kept(ReceiverEvent event) {
        Interrupted interrupted = new Interrupted(4, 600, WHY);
        assertThat(after(new ReceivingCheckpoints(4, 600), event))
                .isEqualTo(step(new SecuringCheckpoint(interrupted), new SecureImage(600)));
    }

    @Test
    void the_wrong_mode_is_named() {
        assertThat(reason(after(new ReceivingDomain(), new CheckpointComplete(1, 600))))
                .contains("offset 600", "needs --remus");
        assertThat(reason(after(new ReceivingCheckpoints(0, 0), new StreamComplete(900))))
                .contains("offset 900", "must not have --remus");
    }

    @Test
    void a_sender_that_may_be_past_its_point_of_no_return_is_always_answered() {
        for (ReceiverEvent event :
                List.of(
                        new SenderGone(WHY),
                        new SenderViolated(WHY),
                        new SenderSilent(WHY),
                        new Stopped(WHY))) {
            assertThat(after(new AwaitingPermission(900), event))
                    .isEqualTo(
                            step(
                                    new Ended(new NothingKept(WHY)),
                                    REPORT,
                                    YOURS_AGAIN,
                                    new DiscardImage()));
        }
    }

    @Test
    void the_image_of_a_sender_that_could_not_be_told_is_kept() {
        SenderUntold untold = new SenderUntold(900, WHY);
        Step first = after(new Publishing(new DomainKept(900)), new SenderUnreachable(WHY));
        assertThat(first).isEqualTo(step(new Publishing(untold)));
        assertThat(after(first.state(), new SenderUnreachable("again"))).isEqualTo(first);
        assertThat(after(first.state(), new ImagePublished())).isEqualTo(step(new Ended(untold)));
    }

    @Test
    void what_cannot_get_its_name_is_not_thrown_away() {
        for (ReceiverState state :
                List.of(
                        new Publishing(new DomainKept(900)),
                        new Publishing(new FailOver(4, 600, WHY)),
                        new SecuringCheckpoint(new Interrupted(4, 600, WHY)))) {
            assertThat(after(state, new ImageFailed("disk")))
                    .isEqualTo(step(new Ended(new LeftAside("disk"))));
        }
    }

    @Test
    void a_domain_that_cannot_be_secured_is_never_promised() {
        assertThat(after(new SecuringDomain(900), new ImageFailed(WHY)))
                .isEqualTo(step(new Ended(new NothingKept(WHY)), new DiscardImage()));
    }

    @Test
    void every_event_in_every_state_is_decided() {
        List<String> refused = new ArrayList<>();
        for (ReceiverState state : STATES) {
            for (ReceiverEvent event : EVENTS) {
                try {
                    ReceiverMachine.step(state, event);
                } catch (IllegalStateException e) {
                    refused.add(state.getClass().getSimpleName());
                    assertThat(e).hasMessageContaining(event.toString());
                }
            }
        }
        // What nobody can raise there: each state's own list of effects makes that so.
        assertThat(refused).doesNotContain("Ended").hasSize(3 + 3 + 3 + 9 + 5 + 9 + 8 + 8 + 9);
    }

    @Test
    void the_end_is_the_end() {
        Ended ended = new Ended(new DomainKept(900));
        for (ReceiverEvent event : EVENTS) {
            assertThat(after(ended, event)).isEqualTo(step(ended));
        }
    }

    @Property
    void random_conversations_keep_the_promises(@ForAll long seed) {
        for (ReceiverMode mode : ReceiverMode.values()) {
            walk(mode, new Random(seed));
        }
    }

    /** Random legal events until the end; checks what holds of every conversation. */
    private static void walk(ReceiverMode mode, Random random) {
        Step step = ReceiverMachine.start(mode);
        List<ReceiverEffect> effects = new ArrayList<>(step.effects());
        List<ReceiverEvent> events = new ArrayList<>();
        long checkpoint = 0;
        while (!(step.state() instanceof Ended)) {
            ReceiverEvent event = EVENTS.get(random.nextInt(EVENTS.size()));
            if (event instanceof CheckpointComplete) {
                checkpoint++;
                event = new CheckpointComplete(checkpoint, checkpoint * 100);
            }
            try {
                step = ReceiverMachine.step(step.state(), event);
            } catch (IllegalStateException e) {
                continue;
            }
            events.add(event);
            effects.addAll(step.effects());
        }
        List<XlToSender> said =
                effects.stream()
                        .filter(Send.class::isInstance)
                        .map(effect -> ((Send) effect).message())
                        .toList();
        assertThat(said).doesNotContain(new UnpauseResult(0));
        assertThat(said)
                .isIn(
                        List.of(new Banner()),
                        List.of(new Banner(), new DomainReceived()),
                        List.of(
                                new Banner(),
                                new DomainReceived(),
                                new UnpauseResult(ReceiverMachine.NOT_STARTED),
                                new DomainIsYoursAgain()));
        if (mode == ReceiverMode.REMUS) {
            assertThat(said).containsExactly(new Banner());
        }
        if (said.contains(new DomainReceived())) {
            assertThat(events).contains(new ImageSecured());
        }
        if (effects.contains(new PublishImage())) {
            assertThat(effects).doesNotContain(new DiscardImage());
            assertThat(mode == ReceiverMode.REMUS || events.contains(new PermissionReceived()))
                    .as("%s %s", mode, events)
                    .isTrue();
        }
    }

    private static Step after(ReceiverState state, ReceiverEvent event) {
        return ReceiverMachine.step(state, event);
    }

    private static Step step(ReceiverState state, ReceiverEffect... effects) {
        return new Step(state, List.of(effects));
    }

    private static String reason(Step step) {
        return ((NothingKept) ((Ended) step.state()).outcome()).reason();
    }

    private static Set<Class<?>> classes(List<?> values) {
        Set<Class<?>> classes = new HashSet<>();
        values.forEach(value -> classes.add(value.getClass()));
        return classes;
    }

    private static List<Class<?>> permitted(Class<?> type) {
        return Arrays.asList(type.getPermittedSubclasses());
    }
}
