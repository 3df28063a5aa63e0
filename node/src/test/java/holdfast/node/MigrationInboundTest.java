package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.api.DomainSource;
import holdfast.node.api.MigrateResult;
import holdfast.node.api.ProgressListener;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What comes to a guest's tap in the pause of its migration reaches the guest where it went, and
 * once. Both hosts have a bridge with the same addresses, so that the guest's answers are taken for
 * those to whoever asked, and counted by the host that it runs on.
 */
@Tag("qemu")
@Timeout(180)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MigrationInboundTest {
    private static final String GUEST = "10.99.0.10";
    private static final String GUEST_MAC = "52:54:00:99:00:10";

    private static final int DATAGRAMS = 6;

    private Cable cable;
    private MigratingPair pair;

    @BeforeAll
    void start() throws Exception {
        cable = new Cable();
        pair =
                new MigratingPair(
                        hosts -> cable.site(Cable.End.A, hosts),
                        hosts -> cable.site(Cable.End.B, hosts),
                        Cable.End.A.here(),
                        Cable.End.B.here());
        for (Cable.End end : Cable.End.values()) {
            at(end, "ip", "link", "add", "hfbr", "address", "02:00:00:99:00:01", "type", "bridge");
            at(end, "ip", "addr", "add", "10.99.0.1/24", "dev", "hfbr");
            at(end, "ip", "link", "set", "hfbr", "up");
            at(end, "ip", "neigh", "add", GUEST, "lladdr", GUEST_MAC, "dev", "hfbr");
        }
    }

    @AfterAll
    void close() throws Exception {
        try (Cable _ = cable;
                MigratingPair _ = pair) {
            pair.clear();
        }
    }

    @Test
    void frames_of_the_pause_reach_the_guest_where_it_went_each_once() throws Exception {
        WritingGuest guest = guest();
        pair.a.client().create(guest.source());
        guest.awaitReady();
        // To a closed port: the guest says so for each that it hears.
        MigrationTest.hook(
                pair.hosts,
                "send",
                "[ $1 = deinit ] || "
                        + String.join(" ", cable.site(Cable.End.A, pair.hosts).within())
                        + " bash -c 'for i in $(seq "
                        + DATAGRAMS
                        + "); do echo $i >/dev/udp/"
                        + GUEST
                        + "/9; done'");
        MigrateResult moved =
                pair.a
                        .client()
                        .migrate(
                                pair.request(List.of("hook:send"), 0, TestHosts.DEADLINE_MILLIS),
                                ProgressListener.none());
        assertThat(moved.outcome()).as(moved.reason()).isEqualTo("moved");
        MigratingPair.await("the guest's answers on b", () -> refusals() >= DATAGRAMS);
        // What the guest says later comes behind whatever it had to say to them.
        guest.awaitChecks();
        assertThat(refusals()).isEqualTo(DATAGRAMS);
    }

    /** Datagrams that the guest has refused, as its host b has heard. */
    private long refusals() {
        try {
            List<List<String>> icmp =
                    at(Cable.End.B, "cat", "/proc/net/snmp")
                            .lines()
                            .filter(line -> line.startsWith("Icmp:"))
                            .map(line -> Arrays.asList(line.split(" ")))
                            .toList();
            return Long.parseLong(icmp.get(1).get(icmp.get(0).indexOf("InDestUnreachs")));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private WritingGuest guest() throws Exception {
        WritingGuest plain = WritingGuest.in(pair.hosts, "g", 256);
        return new WritingGuest(
                new DomainSource(
                        plain.source().file(),
                        plain.source().yaml().replace("panic=1", "panic=1 hf.ip=" + GUEST + "/24")
                                + "nics: [{tap: hft, bridge: hfbr, mac: \""
                                + GUEST_MAC
                                + "\"}]\n"),
                plain.serial());
    }

    private String at(Cable.End end, String... command) throws IOException {
        List<String> words = new ArrayList<>(cable.site(end, pair.hosts).within());
        words.addAll(List.of(command));
        Process process = new ProcessBuilder(words).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.onExit().join().exitValue()).as(words + ": " + said).isZero();
        return said;
    }
}
