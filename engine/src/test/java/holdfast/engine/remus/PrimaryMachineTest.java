package holdfast.engine.remus;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.port.Arbiter;
import holdfast.wire.ProtocolException;
import holdfast.wire.colo.ToPrimary;
import holdfast.wire.colo.ToSecondary;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

class PrimaryMachineTest {
    private static final CheckpointDigest DIGEST = new CheckpointDigest(4096, 7);
    private final PrimaryMachine machine = new PrimaryMachine(new LivePolicy(100, 4));

    private final List<PrimaryEffect> effects = new ArrayList<>();

    private PrimaryState run(PrimaryState from, PrimaryEvent... events) {
        PrimaryState state = from;
        for (PrimaryEvent event : events) {
            PrimaryMachine.Step step = machine.step(state, event);
            effects.addAll(step.effects());
            state = step.state();
        }
        return state;
    }

    private static PrimaryEvent from(long epoch, ToPrimary message) {
        return new PrimaryEvent.FromSecondary(epoch, message);
    }

    private static PrimaryEvent[] checkpoint(long epoch) {
        return new PrimaryEvent[] {
            from(epoch, new ToPrimary.CheckpointReply()),
            new PrimaryEvent.IntervalElapsed(epoch),
            new PrimaryEvent.Captured(epoch, 500),
            new PrimaryEvent.Transmitted(epoch, DIGEST),
            from(epoch, new ToPrimary.VmstateReceived()),
            from(epoch, new ToPrimary.VmstateLoaded()),
        };
    }

    @Test
    void liveStageCopiesRoundsUntilLittleIsLeftThenHoldsOutputBeforeTheFirstCheckpoint() {
        PrimaryState state =
                run(
                        new PrimaryState.Starting(),
                        from(0, new ToPrimary.CheckpointReady()),
                        new PrimaryEvent.DisksSynchronised(),
                        new PrimaryEvent.RoundSent(0, 10_000),
                        new PrimaryEvent.RoundCopied(0, 10_000, 900),
                        new PrimaryEvent.RoundSent(1, 900),
                        new PrimaryEvent.RoundCopied(1, 900, 90));

        assertThat(state).isEqualTo(new PrimaryState.Requested(0, PrimaryState.Interval.ELAPSED));
        assertThat(effects)
                .containsExactly(
                        new PrimaryEffect.SynchroniseDisks(),
                        new PrimaryEffect.CopyRound(0),
                        new PrimaryEffect.StartRoundDeadline(0),
                        new PrimaryEffect.CollectDirty(0, 10_000),
                        new PrimaryEffect.CopyRound(1),
                        new PrimaryEffect.StartRoundDeadline(1),
                        new PrimaryEffect.CollectDirty(1, 900),
                        new PrimaryEffect.HoldOutput(),
                        new PrimaryEffect.Send(0, new ToSecondary.CheckpointRequest()),
                        new PrimaryEffect.StartDeadline(0));
    }

    @Test
    void aLiveStageThatStandsStillEndsWithoutAnybodyBeingAsked() {
        PrimaryState copying = new PrimaryState.Copying(2, 500);
        assertThat(run(copying, new PrimaryEvent.LiveStageOverdue(1))).isEqualTo(copying);
        PrimaryState dismissing = run(copying, new PrimaryEvent.LiveStageOverdue(2));
        assertThat(dismissing).isInstanceOf(PrimaryState.Dismissing.class);
        assertThat(run(dismissing, new PrimaryEvent.DismissalOverdue()))
                .matches(
                        state ->
                                state
                                        instanceof
                                        PrimaryState.Finished(
                                                long _,
                                                PrimaryOutcome.Unprotected _));
        assertThat(
                        run(
                                new PrimaryState.Starting(),
                                new PrimaryEvent.LiveStageOverdue(
                                        PrimaryEvent.LiveStageOverdue.STANDBY_START)))
                .isInstanceOf(PrimaryState.Dismissing.class);
        assertThat(effects).noneMatch(effect -> effect instanceof PrimaryEffect.AskArbiter);
    }

    @Test
    void roundsThatDoNotShrinkEndTheLiveStage() {
        assertThat(run(new PrimaryState.Copying(0, 0), new PrimaryEvent.RoundCopied(0, 1000, 800)))
                .isInstanceOf(PrimaryState.Requested.class);
        assertThat(run(new PrimaryState.Copying(3, 0), new PrimaryEvent.RoundCopied(3, 1000, 200)))
                .isInstanceOf(PrimaryState.Requested.class);
    }

    @Test
    void outputLeavesOnlyWhenTheSecondaryReceivedEverything() {
        PrimaryState state =
                run(new PrimaryState.Requested(5, PrimaryState.Interval.RUNNING), checkpoint(5));

        assertThat(state).isEqualTo(new PrimaryState.Requested(6, PrimaryState.Interval.RUNNING));
        assertThat(effects)
                .containsExactly(
                        new PrimaryEffect.Capture(5),
                        new PrimaryEffect.StartInterval(6),
                        new PrimaryEffect.Send(5, new ToSecondary.VmstateSend()),
                        new PrimaryEffect.Send(5, new ToSecondary.VmstateSize(500)),
                        new PrimaryEffect.Transmit(5),
                        new PrimaryEffect.SendDigest(5, DIGEST),
                        new PrimaryEffect.ReleaseOutput(5),
                        new PrimaryEffect.Send(6, new ToSecondary.CheckpointRequest()),
                        new PrimaryEffect.StartDeadline(6));
    }

    @Test
    void anAcknowledgementBeforeEverythingWasSentIsAViolationAndReleasesNothing() {
        PrimaryState sending =
                new PrimaryState.Sending(
                        5, PrimaryState.Transit.WRITING, PrimaryState.Interval.RUNNING);
        assertThatThrownBy(() -> machine.step(sending, from(5, new ToPrimary.VmstateReceived())))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("epoch 5");
    }

    @Test
    void anAcknowledgementOfAnotherEpochIsAViolation() {
        PrimaryState sending =
                new PrimaryState.Sending(
                        5, PrimaryState.Transit.WRITTEN, PrimaryState.Interval.RUNNING);
        assertThatThrownBy(() -> machine.step(sending, from(4, new ToPrimary.VmstateReceived())))
                .isInstanceOf(ProtocolException.class);
    }

    @Test
    void aSlowSecondaryMakesTheEpochLonger() {
        PrimaryState due =
                run(
                        new PrimaryState.Loading(5, PrimaryState.Interval.RUNNING),
                        new PrimaryEvent.IntervalElapsed(6),
                        from(5, new ToPrimary.VmstateLoaded()));
        assertThat(due).isEqualTo(new PrimaryState.Requested(6, PrimaryState.Interval.ELAPSED));
        effects.clear();

        assertThat(run(due, from(6, new ToPrimary.CheckpointReply())))
                .isEqualTo(new PrimaryState.Capturing(6, 0));
        assertThat(effects).containsExactly(new PrimaryEffect.Capture(6));
    }

    @Test
    void aFailedCheckpointIsRetriedAndGivenUpAfterThreeAttempts() {
        PrimaryState state = new PrimaryState.Granted(9, 0);
        for (int attempt = 1; attempt < PrimaryMachine.CAPTURE_FAILURES_MAX; attempt++) {
            state =
                    run(
                            state,
                            new PrimaryEvent.IntervalElapsed(9),
                            new PrimaryEvent.CaptureFailed(9, "disk full"));
            assertThat(state).isEqualTo(new PrimaryState.Granted(9, attempt));
        }
        state =
                run(
                        state,
                        new PrimaryEvent.IntervalElapsed(9),
                        new PrimaryEvent.CaptureFailed(9, "disk full"));

        assertThat(state).isInstanceOf(PrimaryState.Dismissing.class);
        assertThat(effects)
                .anyMatch(
                        effect ->
                                effect instanceof PrimaryEffect.Dismiss(String reason)
                                        && reason.contains("disk full"));
        assertThat(effects).noneMatch(effect -> effect instanceof PrimaryEffect.ReleaseOutput);
    }

    @Test
    void aRetriedCheckpointThatSucceedsGoesOn() {
        PrimaryState state =
                run(
                        new PrimaryState.Granted(9, 0),
                        new PrimaryEvent.IntervalElapsed(9),
                        new PrimaryEvent.CaptureFailed(9, "busy"),
                        new PrimaryEvent.IntervalElapsed(9),
                        new PrimaryEvent.Captured(9, 10));
        assertThat(state)
                .isEqualTo(
                        new PrimaryState.Sending(
                                9, PrimaryState.Transit.WRITING, PrimaryState.Interval.RUNNING));
    }

    @ParameterizedTest
    @MethodSource("committed")
    void aLostPeerAsksTheArbiterAndReleasesNothing(PrimaryState state) {
        PrimaryState deciding = run(state, new PrimaryEvent.PeerLost("silence"));

        assertThat(deciding).isEqualTo(new PrimaryState.Deciding(state.epoch(), "silence"));
        assertThat(effects).containsExactly(new PrimaryEffect.AskArbiter());
    }

    @Test
    void theVerdictAloneDecides() {
        PrimaryState deciding = new PrimaryState.Deciding(5, "silence");
        assertThat(run(deciding, new PrimaryEvent.Verdict(Arbiter.Verdict.GO_ON)))
                .matches(
                        state ->
                                state
                                        instanceof
                                        PrimaryState.Finished(
                                                long _,
                                                PrimaryOutcome.Unprotected _));
        assertThat(run(deciding, new PrimaryEvent.Verdict(Arbiter.Verdict.STAND_DOWN)))
                .matches(
                        state ->
                                state
                                        instanceof
                                        PrimaryState.Finished(long _, PrimaryOutcome.StoodDown _));
        assertThat(run(deciding, from(5, new ToPrimary.VmstateReceived()))).isEqualTo(deciding);
    }

    @ParameterizedTest
    @MethodSource("protecting")
    void unprotectWaitsUntilTheReplicaIsDiscarded(PrimaryState state) {
        PrimaryState dismissing = run(state, new PrimaryEvent.Unprotect());
        assertThat(dismissing).isInstanceOf(PrimaryState.Dismissing.class);
        assertThat(effects).noneMatch(effect -> effect instanceof PrimaryEffect.Finish);

        assertThat(run(dismissing, new PrimaryEvent.PeerLost("reset")))
                .isInstanceOf(
                        state.epoch() < 0
                                ? PrimaryState.Finished.class
                                : PrimaryState.Deciding.class);
        assertThat(run(dismissing, new PrimaryEvent.Dismissed()))
                .isInstanceOf(PrimaryState.Finished.class);
    }

    @Test
    void unprotectThatFindsTheSecondaryLostIsNoVerdict() {
        PrimaryState deciding = new PrimaryState.Deciding(5, "reset");
        assertThat(run(deciding, new PrimaryEvent.Unprotect())).isEqualTo(deciding);
        assertThat(effects).isEmpty();
    }

    @ParameterizedTest
    @MethodSource("protecting")
    void aPrimaryWhoseDomainWasTakenOverStandsDown(PrimaryState state) {
        assertThat(run(state, new PrimaryEvent.PeerTookOver("claimed")))
                .isEqualTo(
                        new PrimaryState.Finished(
                                state.epoch(), new PrimaryOutcome.StoodDown("claimed")));
    }

    @ParameterizedTest
    @MethodSource("protecting")
    void aPeerThatBreaksTheProtocolNeverStartsAFailOver(PrimaryState state) {
        run(state, new PrimaryEvent.PeerViolated("rubbish"));
        assertThat(effects).noneMatch(effect -> effect instanceof PrimaryEffect.AskArbiter);
    }

    @Test
    void aFinishedSessionStaysFinished() {
        PrimaryState finished =
                new PrimaryState.Finished(5, new PrimaryOutcome.Unprotected("done"));
        assertThat(run(finished, new PrimaryEvent.PeerLost("late"), new PrimaryEvent.Unprotect()))
                .isEqualTo(finished);
        assertThat(effects).isEmpty();
    }

    @Test
    void aDismissalConfirmedAfterItsDeadlineStillEndsProtection() {
        assertThat(run(new PrimaryState.Deciding(5, "no answer"), new PrimaryEvent.Dismissed()))
                .matches(
                        state ->
                                state
                                        instanceof
                                        PrimaryState.Finished(
                                                long _,
                                                PrimaryOutcome.Unprotected _));
    }

    @ParameterizedTest
    @MethodSource("uncommitted")
    void aPeerLostBeforeTheFirstCommitLeavesNothingToDecide(PrimaryState state) {
        assertThat(run(state, new PrimaryEvent.PeerLost("reset")))
                .matches(
                        next ->
                                next
                                        instanceof
                                        PrimaryState.Finished(
                                                long _,
                                                PrimaryOutcome.Unprotected _));
        assertThat(effects).noneMatch(effect -> effect instanceof PrimaryEffect.AskArbiter);
    }

    @Test
    void memoryIsCopiedOnlyWhenTheDisksAreInSync() {
        PrimaryState synchronising =
                run(new PrimaryState.Starting(), from(0, new ToPrimary.CheckpointReady()));
        assertThat(synchronising).isEqualTo(new PrimaryState.Synchronising());
        assertThat(effects).containsExactly(new PrimaryEffect.SynchroniseDisks());
        assertThat(run(synchronising, new PrimaryEvent.LiveStageOverdue(-1)))
                .as("a first copy takes as long as it takes")
                .isEqualTo(synchronising);
        assertThat(run(synchronising, new PrimaryEvent.DisksSynchronised()))
                .isEqualTo(new PrimaryState.Copying(0, 0));
    }

    @ParameterizedTest
    @MethodSource("protecting")
    void disksThatDoNotReachTheSecondaryEndProtectionInOrder(PrimaryState state) {
        assertThat(run(state, new PrimaryEvent.DisksFailed("the job ended")))
                .isEqualTo(new PrimaryState.Dismissing(state.epoch(), "the job ended"));
    }

    @Test
    void theDeadlineOfACheckpointIsNotThatOfADismissal() {
        PrimaryState dismissing = new PrimaryState.Dismissing(5, "unprotect");
        assertThat(run(dismissing, new PrimaryEvent.CheckpointOverdue(5))).isEqualTo(dismissing);
        assertThat(run(dismissing, new PrimaryEvent.DismissalOverdue()))
                .isInstanceOf(PrimaryState.Deciding.class);
    }

    static Stream<PrimaryState> uncommitted() {
        return Stream.of(
                new PrimaryState.Starting(),
                new PrimaryState.Synchronising(),
                new PrimaryState.Copying(1, 10),
                new PrimaryState.Requested(0, PrimaryState.Interval.ELAPSED),
                new PrimaryState.Granted(0, 1),
                new PrimaryState.Capturing(0, 0),
                new PrimaryState.Sending(
                        0, PrimaryState.Transit.WRITING, PrimaryState.Interval.RUNNING));
    }

    static Stream<PrimaryState> committed() {
        return Stream.concat(
                protecting().filter(state -> state.epoch() > 0),
                Stream.of(
                        new PrimaryState.Sending(
                                0, PrimaryState.Transit.WRITTEN, PrimaryState.Interval.RUNNING)));
    }

    static Stream<PrimaryState> protecting() {
        return Stream.of(
                new PrimaryState.Starting(),
                new PrimaryState.Synchronising(),
                new PrimaryState.Copying(1, 10),
                new PrimaryState.Requested(5, PrimaryState.Interval.RUNNING),
                new PrimaryState.Granted(5, 0),
                new PrimaryState.Capturing(5, 0),
                new PrimaryState.Sending(
                        5, PrimaryState.Transit.WRITTEN, PrimaryState.Interval.RUNNING),
                new PrimaryState.Loading(5, PrimaryState.Interval.RUNNING));
    }
}
