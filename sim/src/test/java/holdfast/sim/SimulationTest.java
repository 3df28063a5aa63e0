package holdfast.sim;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.util.ArrayList;
import java.util.List;

class SimulationTest {
    private static final int SCHEDULES = 400;

    @Test
    void randomSchedulesHoldEveryPromise() {
        List<Integer> heard = new ArrayList<>();
        Report report = Simulation.run(2024, SCHEDULES, (done, _, _) -> heard.add(done));

        assertThat(report.failures())
                .withFailMessage(
                        () ->
                                report.failures().stream()
                                        .map(failure -> failure.describe(120))
                                        .reduce("", String::concat))
                .isEmpty();
        assertThat(heard).hasSize(SCHEDULES);
        assertThat(report.totals().commits()).isGreaterThan(SCHEDULES);
        assertThat(report.totals().acknowledged()).isGreaterThan(10L * SCHEDULES);
        assertThat(report.totals().failOvers()).isGreaterThan(SCHEDULES / 4);
    }

    @Test
    void oneSeedIsOneRun() {
        assertThat(Simulation.run(5, 20, (_, _, _) -> {}).totals())
                .isEqualTo(Simulation.run(5, 20, (_, _, _) -> {}).totals())
                .isNotEqualTo(Simulation.run(6, 20, (_, _, _) -> {}).totals());
    }
}
