package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.engine.port.DeviceState;
import holdfast.engine.port.Domain;
import holdfast.qemu.net.GuestStop;

import org.junit.jupiter.api.Test;

import java.util.EnumSet;
import java.util.Optional;

class OperatedDomainTest {
    private static final class Switch implements Domain {
        private boolean runs = true;
        private Optional<String> disturbance = Optional.empty();

        @Override
        public String name() {
            return "switch";
        }

        @Override
        public void suspend() {
            runs = false;
            disturbance = Optional.empty();
        }

        @Override
        public Optional<String> disturbance() {
            return disturbance;
        }

        @Override
        public void resume() {
            runs = true;
        }

        @Override
        public void destroy() {
            runs = false;
        }

        @Override
        public DeviceState saveDeviceState() {
            throw new UnsupportedOperationException("nothing to save");
        }
    }

    private final Switch guest = new Switch();
    private final OperatedDomain operated =
            new OperatedDomain(guest, EnumSet.noneOf(OperatedDomain.Hold.class));

    @Test
    void an_operators_pause_outlives_the_detaching_of_a_gate() {
        GuestStop stop = operated.detaching();
        stop.begin();
        operated.hold(OperatedDomain.Hold.OPERATOR);
        stop.end();
        assertThat(guest.runs).isFalse();
        operated.release(OperatedDomain.Hold.OPERATOR);
        assertThat(guest.runs).isTrue();
    }

    @Test
    void an_operators_word_does_not_resume_a_guest_whose_gate_is_being_taken_out() {
        operated.hold(OperatedDomain.Hold.OPERATOR);
        GuestStop stop = operated.detaching();
        stop.begin();
        operated.release(OperatedDomain.Hold.OPERATOR);
        assertThat(guest.runs).isFalse();
        stop.end();
        assertThat(guest.runs).isTrue();
    }

    @Test
    void a_disturbed_checkpoint_stays_one_when_an_operator_pauses_the_guest_right_after_it() {
        operated.suspend();
        guest.disturbance = Optional.of("somebody");
        operated.resume();
        operated.hold(OperatedDomain.Hold.OPERATOR);
        assertThat(operated.disturbance()).contains("somebody");
        operated.suspend();
        operated.resume();
        assertThat(operated.disturbance()).isEmpty();
    }
}
