package holdfast.node.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

import java.util.Collections;
import java.util.List;

class RemusRequestTest {
    private static RemusRequest request(int heartbeatMillis, int deadlineMillis) {
        return RemusRequest.of("web", "hostB").withDeadline(heartbeatMillis, deadlineMillis);
    }

    @Test
    void what_a_request_leaves_open_is_the_nodes_setting() {
        assertThat(request(0, 0).orElse(1000, 3000)).isEqualTo(request(1000, 3000));
        assertThat(request(50, 200).orElse(1000, 3000)).isEqualTo(request(50, 200));
    }

    @Test
    void a_slower_heartbeat_stretches_the_nodes_deadline() {
        assertThat(request(2000, 0).orElse(100, 500)).isEqualTo(request(2000, 4000));
    }

    @Test
    void its_nodes_are_the_first_and_the_others_and_not_too_many() {
        RemusRequest plain = request(100, 500);
        assertThat(plain.nodes()).containsExactly("hostB");
        assertThat(plain.afterLoss()).isEqualTo(RemusRequest.AfterLoss.PROTECT_AGAIN);
        assertThat(with(Collections.nCopies(15, "hostC")).at("hostD").nodes())
                .hasSize(16)
                .startsWith("hostD", "hostC");
        assertThatThrownBy(() -> with(Collections.nCopies(16, "hostC")))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("16 in all");
    }

    private static RemusRequest with(List<String> others) {
        return request(100, 500).withOthers(others);
    }

    @Test
    void a_deadline_of_less_than_two_heartbeats_is_refused() {
        assertThatThrownBy(() -> request(100, 199))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("199");
        assertThatThrownBy(() -> request(0, 19))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("20");
    }
}
