package holdfast.engine.migrate;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.migrate.SourceState.Copying.Urgency;
import holdfast.engine.migrate.SourceState.Peer;

import org.junit.jupiter.api.Test;

import java.util.List;

/** What both machines do differently where disks are copied. */
class CopiedDisksTest {
    private static final FeaturePlan PLAN =
            FeaturePlan.of(
                    FeaturePlan.Policy.DEFAULT,
                    List.of(),
                    List.of(),
                    List.of(FeaturePlan.Part.DISKS));
    private static final Cookies.Prepared PREPARED =
            new Cookies.Prepared(Cookies.VERSION, "b", "7.2", List.of());
    private static final List<CheckpointDigest> STREAMS = List.of(new CheckpointDigest(9, 1));

    private final SourceMachine source =
            new SourceMachine(new PrecopyPolicy(1, 3, PrecopyPolicy.Convergence.AS_IS), PLAN, 7);

    private static SourceState copying(Peer peer, Urgency urgency) {
        return new SourceState.CopyingDisks(peer, urgency);
    }

    @Test
    void no_page_travels_before_the_disks_are_in_sync() {
        SourceMachine.Step begin = SourceMachine.begin(Storage.COPIED);
        assertThat(begin.state()).isEqualTo(copying(Peer.PREPARING, Urgency.AS_POLICY_SAYS));
        assertThat(begin.effects())
                .containsExactly(
                        new SourceEffect.StartDeadline(SourceEvent.Stage.PREPARE),
                        new SourceEffect.CopyDisks());
        SourceMachine.Step ready =
                source.step(begin.state(), new SourceEvent.PeerPrepared(PREPARED));
        assertThat(ready.state()).isEqualTo(copying(Peer.READY, Urgency.AS_POLICY_SAYS));
        assertThat(ready.effects()).isEmpty();
        SourceMachine.Step synchronised =
                source.step(ready.state(), new SourceEvent.DisksSynchronised());
        assertThat(synchronised.state())
                .isEqualTo(
                        new SourceState.Copying(
                                0, PrecopyPolicy.Course.BEGIN, Peer.READY, Urgency.AS_POLICY_SAYS));
        assertThat(synchronised.effects()).containsExactly(new SourceEffect.CopyRound(0));
        assertThat(SourceMachine.begin(Storage.SHARED).effects())
                .contains(new SourceEffect.CopyRound(0));
    }

    @Test
    void time_that_is_over_ends_the_copy_or_only_the_rounds_after_it() {
        SourceState state = copying(Peer.READY, Urgency.AS_POLICY_SAYS);
        assertThat(source.step(state, new SourceEvent.Overdue(SourceEvent.Stage.ROUND)).state())
                .isInstanceOf(SourceState.RollingBack.class);
        SourceState hurried = source.step(state, new SourceEvent.StopRounds()).state();
        assertThat(hurried).isEqualTo(copying(Peer.READY, Urgency.STOP_NEXT));
        assertThat(source.step(hurried, new SourceEvent.DisksSynchronised()).state())
                .isEqualTo(
                        new SourceState.Copying(
                                0, PrecopyPolicy.Course.BEGIN, Peer.READY, Urgency.STOP_NEXT));
    }

    @Test
    void a_destination_that_is_not_ready_in_time_is_not_waited_for_by_the_disks_either() {
        SourceEvent overdue = new SourceEvent.Overdue(SourceEvent.Stage.PREPARE);
        assertThat(source.step(copying(Peer.PREPARING, Urgency.AS_POLICY_SAYS), overdue).state())
                .isInstanceOf(SourceState.RollingBack.class);
        SourceState ready = copying(Peer.READY, Urgency.AS_POLICY_SAYS);
        assertThat(source.step(ready, overdue).state()).isEqualTo(ready);
    }

    @Test
    void whatever_fails_while_disks_are_copied_ends_with_the_guest_here() {
        for (SourceEvent event :
                List.of(
                        new SourceEvent.SessionFailed("the mirror broke"),
                        new SourceEvent.Cancel("the operator"),
                        new SourceEvent.PeerViolated("nonsense"))) {
            assertThat(source.step(copying(Peer.READY, Urgency.AS_POLICY_SAYS), event).state())
                    .isInstanceOfSatisfying(
                            SourceState.RollingBack.class,
                            state ->
                                    assertThat(state.guest()).isEqualTo(SourceState.Guest.RUNNING));
        }
        assertThat(
                        source.step(
                                        copying(Peer.READY, Urgency.AS_POLICY_SAYS),
                                        new SourceEvent.PeerLost("cut"))
                                .effects())
                .containsExactly(new SourceEffect.Resume());
    }

    private static DestinationState after(Storage storage, DestinationEvent... events) {
        DestinationMachine machine = new DestinationMachine(PLAN, 7, storage);
        DestinationState state = DestinationMachine.begin();
        for (DestinationEvent event : events) {
            state = machine.step(state, event).state();
        }
        return state;
    }

    private static DestinationEvent performed(Integer diskBoundaries) {
        return new DestinationEvent.SourcePerformed(
                STREAMS, new Cookies.Performed(Cookies.VERSION, 1, 2, 9, 4, diskBoundaries));
    }

    private static final DestinationEvent WAITS = new DestinationEvent.Prepared(PREPARED);
    private static final DestinationEvent WHOLE = new DestinationEvent.StreamsWhole(STREAMS);

    private static DestinationEvent forced(int boundaries) {
        return new DestinationEvent.DisksForced(boundaries);
    }

    @Test
    void features_come_up_only_with_the_last_boundary_in_whatever_order_things_arrive() {
        assertThat(after(Storage.COPIED, WAITS, forced(1), WHOLE, performed(2)))
                .isInstanceOf(DestinationState.Receiving.class);
        assertThat(after(Storage.COPIED, WAITS, forced(1), WHOLE, performed(2), forced(2)))
                .isInstanceOf(DestinationState.BringingUp.class);
        assertThat(after(Storage.COPIED, forced(1), forced(2), performed(2), WHOLE, WAITS))
                .isInstanceOf(DestinationState.BringingUp.class);
        assertThat(after(Storage.COPIED, WAITS, performed(2), forced(1), forced(2), WHOLE))
                .isInstanceOf(DestinationState.BringingUp.class);
        assertThat(after(Storage.SHARED, WAITS, WHOLE, performed(null)))
                .isInstanceOf(DestinationState.BringingUp.class);
    }

    @Test
    void disks_that_do_not_come_or_come_unasked_end_the_arrival() {
        for (DestinationState state :
                List.of(
                        after(Storage.COPIED, WAITS, WHOLE, performed(0)),
                        after(Storage.COPIED, WAITS, WHOLE, performed(null)),
                        after(Storage.SHARED, WAITS, WHOLE, performed(1)),
                        after(Storage.COPIED, WAITS, WHOLE, forced(1), forced(2), performed(1)))) {
            assertThat(state)
                    .isInstanceOfSatisfying(
                            DestinationState.Finished.class,
                            finished ->
                                    assertThat(finished.outcome().reason())
                                            .contains("the disks that arrived are not those"));
        }
    }
}
