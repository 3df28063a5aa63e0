package holdfast.engine.remus;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.Arbiter;
import holdfast.engine.remus.SecondaryState.Announcement;
import holdfast.engine.remus.SecondaryState.Arrival;
import holdfast.engine.remus.SecondaryState.DiskWrites;
import holdfast.wire.ProtocolException;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

class SecondaryMachineTest {
    private static final CheckpointDigest DIGEST = new CheckpointDigest(4096, 7);
    private final SecondaryMachine machine = new SecondaryMachine(DiskWrites.TRAVELLING);
    private final List<SecondaryEffect> effects = new ArrayList<>();

    private SecondaryState run(SecondaryState from, SecondaryEvent... events) {
        SecondaryState state = from;
        for (SecondaryEvent event : events) {
            SecondaryMachine.Step step = machine.step(state, event);
            effects.addAll(step.effects());
            state = step.state();
        }
        return state;
    }

    private static SecondaryEvent from(long epoch, ToSecondary message) {
        return new SecondaryEvent.FromPrimary(epoch, message);
    }

    private static final SecondaryEvent[] ANNOUNCED = {
        from(3, new ToSecondary.CheckpointRequest()),
        from(3, new ToSecondary.VmstateSend()),
        from(3, new ToSecondary.VmstateSize(500)),
        new SecondaryEvent.DigestReceived(3, DIGEST),
    };
    private static final SecondaryEvent ARRIVED =
            new SecondaryEvent.CheckpointArrived(3, 500, DIGEST);
    private static final SecondaryEvent WRITTEN = new SecondaryEvent.DiskWritesArrived(3);

    static Stream<List<SecondaryEvent>> orders() {
        // Neither the bulk stream nor the disk stream is ordered against the control connection:
        // their ends may come in anywhere after the request.
        return Stream.of(1, 2, 3, 4)
                .flatMap(
                        place ->
                                Stream.of(1, 2, 3, 4, 5)
                                        .map(
                                                writes -> {
                                                    List<SecondaryEvent> events =
                                                            new ArrayList<>(List.of(ANNOUNCED));
                                                    events.add(place, ARRIVED);
                                                    events.add(writes, WRITTEN);
                                                    return events;
                                                }));
    }

    @ParameterizedTest
    @MethodSource("orders")
    void aCheckpointIsCommittedWhenItIsWholeInWhateverOrderItsPartsCame(
            List<SecondaryEvent> events) {
        SecondaryState state =
                run(new SecondaryState.Awaiting(3), events.toArray(SecondaryEvent[]::new));

        assertThat(state).isEqualTo(new SecondaryState.Committing(3));
        assertThat(state.committed()).isEqualTo(2);
        state = run(state, new SecondaryEvent.DisksCommitted(3));
        assertThat(state).isEqualTo(new SecondaryState.Applying(3));
        assertThat(state.committed()).isEqualTo(3);
        assertThat(effects)
                .containsExactly(
                        new SecondaryEffect.Send(3, new ToPrimary.CheckpointReply()),
                        new SecondaryEffect.CommitDisks(3),
                        new SecondaryEffect.Send(3, new ToPrimary.VmstateReceived()),
                        new SecondaryEffect.Apply(3));
        assertThat(run(state, new SecondaryEvent.Applied(3)))
                .isEqualTo(new SecondaryState.Awaiting(4));
    }

    @Test
    void aDomainWithoutDisksWaitsForNoDiskWrites() {
        SecondaryMachine diskless = new SecondaryMachine(DiskWrites.WHOLE);
        SecondaryState state = new SecondaryState.Awaiting(3);
        for (SecondaryEvent event : ANNOUNCED) {
            state = diskless.step(state, event).state();
        }
        assertThat(diskless.step(state, ARRIVED).state())
                .isEqualTo(new SecondaryState.Committing(3));
    }

    @Test
    void aSecondBoundaryOfOneCheckpointIsAViolation() {
        SecondaryState written = run(new SecondaryState.Awaiting(3), ANNOUNCED[0], WRITTEN);
        assertThatThrownBy(() -> machine.step(written, WRITTEN))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("boundary");
        assertThatThrownBy(() -> machine.step(new SecondaryState.Awaiting(3), WRITTEN))
                .isInstanceOf(ProtocolException.class);
    }

    @Test
    void diskWritesThatCannotBeKeptEndProtectionBeforeAnybodyReliesOnThem() {
        SecondaryState committing = new SecondaryState.Committing(3);
        assertThat(run(committing, new SecondaryEvent.DisksFailed("no space left")))
                .isEqualTo(
                        new SecondaryState.Finished(
                                2, new SecondaryOutcome.Discarded("no space left")));
        assertThat(effects)
                .containsExactly(
                        new SecondaryEffect.Finish(
                                new SecondaryOutcome.Discarded("no space left")));
    }

    @Test
    void aDiskThatFailsAfterThePrimaryIsLostDoesNotLoseTheCommittedEpoch() {
        SecondaryState deciding = new SecondaryState.Deciding(3, "silence");
        assertThat(run(deciding, new SecondaryEvent.DisksFailed("no space left")))
                .isEqualTo(deciding);
    }

    @Test
    void theFirstCommitIsRehearsedBeforeThePrimaryIsToldThatItIsLoaded() {
        SecondaryState rehearsing =
                run(new SecondaryState.Applying(0), new SecondaryEvent.Applied(0));
        assertThat(rehearsing).isEqualTo(new SecondaryState.Rehearsing(0));
        assertThat(effects).containsExactly(new SecondaryEffect.Rehearse(0));

        assertThat(run(rehearsing, new SecondaryEvent.Rehearsed(0)))
                .isEqualTo(new SecondaryState.Awaiting(1));
        assertThat(effects)
                .last()
                .isEqualTo(new SecondaryEffect.Send(0, new ToPrimary.VmstateLoaded()));
    }

    @Test
    void aStandbyThatCannotLoadTheStateEndsProtectionInsteadOfPretendingIt() {
        assertThat(
                        run(
                                new SecondaryState.Rehearsing(0),
                                new SecondaryEvent.RehearsalFailed("no such device")))
                .matches(
                        state ->
                                state
                                                instanceof
                                                SecondaryState.Finished(
                                                        long _,
                                                        SecondaryOutcome.Discarded(String reason))
                                        && reason.contains("no such device"));
    }

    @Test
    void aPrimaryLostDuringTheRehearsalIsSurvived() {
        assertThat(run(new SecondaryState.Rehearsing(0), new SecondaryEvent.PeerLost("reset")))
                .isEqualTo(new SecondaryState.Deciding(0, "reset"));
    }

    @Test
    void aCheckpointThatIsNotWhatWasSentIsNotCommitted() {
        SecondaryState announced = run(new SecondaryState.Awaiting(3), ANNOUNCED);
        assertThatThrownBy(
                        () ->
                                machine.step(
                                        announced,
                                        new SecondaryEvent.CheckpointArrived(
                                                3, 500, new CheckpointDigest(4096, 8))))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("digest");
        assertThatThrownBy(
                        () ->
                                machine.step(
                                        announced,
                                        new SecondaryEvent.CheckpointArrived(3, 499, DIGEST)))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("device state");
    }

    @Test
    void aPartialCheckpointIsDiscardedAndTheOneBeforeSurvives() {
        SecondaryState announced = run(new SecondaryState.Awaiting(3), ANNOUNCED);
        effects.clear();
        SecondaryState state =
                run(
                        announced,
                        new SecondaryEvent.PeerLost("reset"),
                        new SecondaryEvent.Verdict(Arbiter.Verdict.GO_ON));

        assertThat(state).isEqualTo(new SecondaryState.TakingOver(2, "reset"));
        assertThat(effects)
                .containsExactly(
                        new SecondaryEffect.DiscardPartial(),
                        new SecondaryEffect.AskArbiter(),
                        new SecondaryEffect.ClaimDomain("reset"),
                        new SecondaryEffect.TakeOver(2));
    }

    @Test
    void silenceAloneNeverStartsAFailOver() {
        SecondaryState deciding =
                run(new SecondaryState.Awaiting(3), new SecondaryEvent.PeerLost("silence"));
        assertThat(run(deciding, new SecondaryEvent.PeerLost("again"))).isEqualTo(deciding);
        assertThat(effects).noneMatch(effect -> effect instanceof SecondaryEffect.TakeOver);
        assertThat(run(deciding, new SecondaryEvent.Verdict(Arbiter.Verdict.STAND_DOWN)))
                .matches(
                        state ->
                                state
                                        instanceof
                                        SecondaryState.Finished(
                                                long _,
                                                SecondaryOutcome.Discarded _));
    }

    @Test
    void withoutACommittedCheckpointThereIsNothingToGoOnFrom() {
        assertThat(run(new SecondaryState.Awaiting(0), new SecondaryEvent.PeerLost("reset")))
                .matches(
                        state ->
                                state
                                        instanceof
                                        SecondaryState.Finished(
                                                long _,
                                                SecondaryOutcome.Discarded _));
        assertThat(effects).noneMatch(effect -> effect instanceof SecondaryEffect.AskArbiter);
    }

    @Test
    void aPrimaryThatBreaksTheProtocolIsNotReplaced() {
        run(new SecondaryState.Awaiting(3), new SecondaryEvent.PeerViolated("rubbish"));
        assertThat(effects)
                .noneMatch(
                        effect ->
                                effect instanceof SecondaryEffect.TakeOver
                                        || effect instanceof SecondaryEffect.AskArbiter);
    }

    @Test
    void theOperatorsFailOverWaitsUntilThePrimaryHasStopped() {
        SecondaryState claiming =
                run(
                        new SecondaryState.Awaiting(3),
                        new SecondaryEvent.FailOver(),
                        new SecondaryEvent.Rehearsed(2));
        assertThat(claiming).isInstanceOf(SecondaryState.Claiming.class);
        assertThat(effects).noneMatch(effect -> effect instanceof SecondaryEffect.TakeOver);

        assertThat(run(claiming, new SecondaryEvent.PrimaryStoodDown()))
                .isInstanceOf(SecondaryState.TakingOver.class);
        assertThat(run(claiming, new SecondaryEvent.PeerLost("reset")))
                .isInstanceOf(SecondaryState.Deciding.class);
    }

    @Test
    void aFailOverThatFindsThePrimaryLostIsNoVerdict() {
        SecondaryState deciding = new SecondaryState.Deciding(3, "reset");
        assertThat(run(deciding, new SecondaryEvent.FailOver())).isEqualTo(deciding);
        assertThat(effects).isEmpty();
    }

    @Test
    void aCheckpointThatNobodyAskedForIsAViolation() {
        assertThatThrownBy(() -> machine.step(new SecondaryState.Awaiting(3), ARRIVED))
                .isInstanceOf(ProtocolException.class);
        SecondaryState requested =
                new SecondaryState.Receiving(
                        3,
                        new Announcement.Silent(),
                        new Arrival.Travelling(),
                        DiskWrites.TRAVELLING);
        assertThatThrownBy(
                        () -> machine.step(requested, from(3, new ToSecondary.CheckpointRequest())))
                .isInstanceOf(ProtocolException.class);
        assertThatThrownBy(() -> machine.step(requested, from(4, new ToSecondary.VmstateSend())))
                .isInstanceOf(ProtocolException.class);
        assertThatThrownBy(() -> machine.step(requested, from(3, new ToSecondary.VmstateSize(1))))
                .isInstanceOf(ProtocolException.class);
    }

    @Test
    void aClaimKeepsTheBulkStreamOpenSoThatThePrimaryHearsTheClaimFirst() {
        run(
                new SecondaryState.Awaiting(3),
                new SecondaryEvent.FailOver(),
                new SecondaryEvent.Rehearsed(2));
        assertThat(effects).hasSize(2);
        assertThat(effects.getFirst()).isEqualTo(new SecondaryEffect.Rehearse(2));
        assertThat(effects.getLast()).isInstanceOf(SecondaryEffect.ClaimDomain.class);
    }

    @Test
    void aFailOverThatTheStandbyCannotDoChangesNothing() {
        SecondaryState awaiting = new SecondaryState.Awaiting(3);
        assertThat(
                        run(
                                awaiting,
                                new SecondaryEvent.FailOver(),
                                new SecondaryEvent.RehearsalFailed("no such device")))
                .isEqualTo(awaiting);
        assertThat(effects).containsExactly(new SecondaryEffect.Rehearse(2));
    }

    @Test
    void aDismissalThatCrossesAClaimDoesNotDiscardTheReplicaThePrimaryMakesWayFor() {
        SecondaryState claiming = new SecondaryState.Claiming(3, "moved");
        assertThat(run(claiming, new SecondaryEvent.Dismiss("unprotect"))).isEqualTo(claiming);
        assertThat(
                        run(
                                claiming,
                                new SecondaryEvent.Dismiss("unprotect"),
                                new SecondaryEvent.PrimaryStoodDown()))
                .isInstanceOf(SecondaryState.TakingOver.class);
    }

    @Test
    void aDamagedAnswerToAClaimIsForTheArbiterOnceThePrimaryIsGone() {
        SecondaryState claiming = new SecondaryState.Claiming(3, "moved");
        assertThat(run(claiming, new SecondaryEvent.PeerViolated("checksum"))).isEqualTo(claiming);
        assertThat(effects).isEmpty();
        assertThat(run(claiming, new SecondaryEvent.PeerLost("it closed the link")))
                .isInstanceOf(SecondaryState.Deciding.class);
        assertThat(effects).containsExactly(new SecondaryEffect.AskArbiter());
    }

    @Test
    void aDismissalAfterTheArbiterWasAskedDoesNotDiscardWhatItMayHaveGivenToThisSide() {
        SecondaryState deciding = new SecondaryState.Deciding(3, "silence");
        assertThat(run(deciding, new SecondaryEvent.Dismiss("unprotect"))).isEqualTo(deciding);
    }

    @Test
    void aPrimaryThatStoodDownByItselfIsSucceededNotMourned() {
        assertThat(run(new SecondaryState.Awaiting(3), new SecondaryEvent.PrimaryStoodDown()))
                .isEqualTo(new SecondaryState.TakingOver(2, "the primary stood down"));
        assertThat(
                        run(
                                new SecondaryState.Deciding(3, "silence"),
                                new SecondaryEvent.PrimaryStoodDown()))
                .isInstanceOf(SecondaryState.TakingOver.class);
    }
}
