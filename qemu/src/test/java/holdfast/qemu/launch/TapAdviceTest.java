package holdfast.qemu.launch;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class TapAdviceTest {
    @Test
    void a_tap_that_another_process_has_is_told_with_how_to_find_it() {
        assertThat(
                        Taps.adviceOnQemus(
                                "qemu-system-x86_64: -netdev tap,id=hf-net0,ifname=hft,script=no:"
                                        + " could not configure /dev/net/tun (hft): Device or"
                                        + " resource busy"))
                .isEqualTo(
                        "; another process has tap hft (`grep -lw hft /proc/[0-9]*/fdinfo/*` names"
                                + " it): end that, or name another tap in `nics`");
    }

    @Test
    void of_anything_else_nothing_is_said() {
        assertThat(Taps.adviceOnQemus("qemu-system-x86_64: Could not open 'disk.img'")).isEmpty();
    }
}
