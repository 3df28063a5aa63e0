package holdfast.sim;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.memory.PfnSet;
import holdfast.engine.port.Arbiter;
import holdfast.engine.port.DeviceState;
import holdfast.engine.port.DirtyTracker;
import holdfast.engine.port.Domain;
import holdfast.engine.port.GuestMemory;
import holdfast.engine.port.InboundFrames;
import holdfast.engine.port.OutputGate;
import holdfast.engine.port.ReplicaDisks;
import holdfast.engine.port.Standby;
import holdfast.sim.check.Violation.Invariant;
import holdfast.sim.guest.SimGuest;
import holdfast.sim.world.Variants;

import org.junit.jupiter.api.Test;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** Ports that are wrong on purpose: what they break must be noticed. */
class SabotageTest {
    private static Set<Invariant> broken(Variants variants) {
        Report report = Simulation.run(11, 60, (_, _, _) -> {}, variants);
        assertThat(report.failures()).isNotEmpty();
        assertThat(report.failures().getFirst().trace()).isNotEmpty();
        assertThat(report.failures().getFirst().what()).doesNotContain("NOT REPEATED");
        return report.failures().stream()
                .map(Failure::invariant)
                .collect(Collectors.toCollection(() -> EnumSet.noneOf(Invariant.class)));
    }

    /** What libxl's Remus does: output leaves when the checkpoint is written, not committed. */
    @Test
    void aGateThatReleasesBeforeTheCommitIsNoticed() {
        assertThat(broken(Variants.NONE.withGate(EagerGate::new))).contains(Invariant.I2);
    }

    @Test
    void aTrackerThatForgetsAPageIsNoticed() {
        assertThat(broken(Variants.NONE.withTracker(ForgetfulTracker::new))).contains(Invariant.I3);
    }

    @Test
    void aReplicaWithPartOfANewerCheckpointIsNoticed() {
        assertThat(broken(Variants.NONE.withStandby(PartlyNewerStandby::new)))
                .contains(Invariant.I3);
    }

    @Test
    void aSecondaryThatFailsOverOnSilenceAloneIsNoticed() {
        assertThat(broken(Variants.NONE.withSecondaryArbiter(SilenceIsDeath::new)))
                .contains(Invariant.I1);
    }

    @Test
    void aDeviceStateOfAnotherEpochIsNoticed() {
        assertThat(broken(Variants.NONE.withStandby((standby, _) -> new StaleDevices(standby))))
                .contains(Invariant.I3);
    }

    @Test
    void aStandDownThatLetsTheDomainRunOnIsNoticed() {
        assertThat(broken(Variants.NONE.withDomain(ImmortalDomain::new).withGate(LeakyClose::new)))
                .contains(Invariant.I1);
    }

    @Test
    void aDiskThatIsBroughtToAnEpochBeforeItsMemoryIsCommittedIsNoticed() {
        assertThat(broken(Variants.NONE.withReplica(HastyReplica::new))).contains(Invariant.I3);
    }

    @Test
    void aDiskThatLosesAWriteIsNoticed() {
        assertThat(broken(Variants.NONE.withReplica(ForgetfulReplica::new))).contains(Invariant.I3);
    }

    private static class PassingReplica implements ReplicaDisks {
        final ReplicaDisks disks;

        PassingReplica(ReplicaDisks disks) {
            this.disks = disks;
        }

        @Override
        public void write(int disk, long offsetBytes, ByteBuffer data) {
            disks.write(disk, offsetBytes, data);
        }

        @Override
        public void writeZeroes(int disk, long offsetBytes, long lengthBytes) {
            disks.writeZeroes(disk, offsetBytes, lengthBytes);
        }

        @Override
        public void boundary(long epoch) {
            disks.boundary(epoch);
        }

        @Override
        public void commit(long epoch) {
            disks.commit(epoch);
        }

        @Override
        public void apply(long epoch) {
            disks.apply(epoch);
        }

        @Override
        public void discardPartial() {
            disks.discardPartial();
        }

        @Override
        public void settle() {
            disks.settle();
        }

        @Override
        public void close() {
            disks.close();
        }
    }

    /** Applies what came when its end has come, whether or not the checkpoint is committed. */
    private static final class HastyReplica extends PassingReplica {
        private HastyReplica(ReplicaDisks disks) {
            super(disks);
        }

        @Override
        public void boundary(long epoch) {
            super.boundary(epoch);
            super.commit(epoch);
            super.apply(epoch);
        }
    }

    private static final class ForgetfulReplica extends PassingReplica {
        private int writes;

        private ForgetfulReplica(ReplicaDisks disks) {
            super(disks);
        }

        @Override
        public void write(int disk, long offsetBytes, ByteBuffer data) {
            if (++writes % 150 != 0) {
                super.write(disk, offsetBytes, data);
            }
        }
    }

    private static class Passing implements OutputGate {
        final OutputGate gate;

        Passing(OutputGate gate) {
            this.gate = gate;
        }

        @Override
        public void closeEpoch(long epoch) {
            gate.closeEpoch(epoch);
        }

        @Override
        public void release(long epoch) {
            gate.release(epoch);
        }

        @Override
        public Held held() {
            return gate.held();
        }

        @Override
        public void detach() {
            gate.detach();
        }

        @Override
        public void close() {
            gate.close();
        }
    }

    private static final class EagerGate extends Passing {
        private EagerGate(OutputGate gate) {
            super(gate);
        }

        @Override
        public void closeEpoch(long epoch) {
            super.closeEpoch(epoch);
            super.release(epoch);
        }
    }

    private static final class LeakyClose extends Passing {
        private LeakyClose(OutputGate gate) {
            super(gate);
        }

        @Override
        public void close() {
            super.detach();
        }
    }

    private record ForgetfulTracker(DirtyTracker tracker) implements DirtyTracker {
        @Override
        public String kind() {
            return tracker.kind();
        }

        @Override
        public void collect(PfnSet into) {
            PfnSet found = new PfnSet(into.endPfn());
            tracker.collect(found);
            long forgotten = found.next(into.endPfn() / 2);
            PfnSet lost = new PfnSet(into.endPfn());
            if (forgotten >= 0) {
                lost.add(forgotten);
            }
            found.removeAll(lost);
            into.addAll(found);
        }

        @Override
        public void close() {
            tracker.close();
        }
    }

    private record PartlyNewerStandby(Standby standby, SimGuest guest) implements Standby {
        @Override
        public GuestMemory replica() {
            return standby.replica();
        }

        @Override
        public void rehearse(MemorySegment base, MemorySegment sections) {
            standby.rehearse(base, sections);
        }

        @Override
        public Domain takeOver(MemorySegment base, MemorySegment sections, InboundFrames inbound) {
            long half = guest.memory().bytes().byteSize() / 2;
            MemorySegment.copy(guest.memory().bytes(), 0, replica().bytes(), 0, half);
            return standby.takeOver(base, sections, inbound);
        }

        @Override
        public void close() {
            standby.close();
        }
    }

    private static final class StaleDevices implements Standby {
        private final Standby standby;

        private StaleDevices(Standby standby) {
            this.standby = standby;
        }

        @Override
        public GuestMemory replica() {
            return standby.replica();
        }

        @Override
        public void rehearse(MemorySegment base, MemorySegment sections) {
            standby.rehearse(base, sections);
        }

        @Override
        public Domain takeOver(MemorySegment base, MemorySegment sections, InboundFrames inbound) {
            byte[] other = sections.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE);
            byte[] changed = Arrays.copyOf(other, other.length);
            changed[8]--;
            return standby.takeOver(base, MemorySegment.ofArray(changed), inbound);
        }

        @Override
        public void close() {
            standby.close();
        }
    }

    private record SilenceIsDeath(Arbiter arbiter) implements Arbiter {
        @Override
        public String kind() {
            return "silence";
        }

        @Override
        public void ask(String domain, long generation, Role role, Consumer<Verdict> answer) {
            answer.accept(Verdict.GO_ON);
        }
    }

    private record ImmortalDomain(Domain domain) implements Domain {
        @Override
        public String name() {
            return domain.name();
        }

        @Override
        public void suspend() {
            domain.suspend();
        }

        @Override
        public void resume() {
            domain.resume();
        }

        @Override
        public void destroy() {}

        @Override
        public DeviceState saveDeviceState() {
            return domain.saveDeviceState();
        }
    }
}
