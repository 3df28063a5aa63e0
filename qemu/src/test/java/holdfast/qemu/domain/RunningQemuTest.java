package holdfast.qemu.domain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.qemu.domain.GuestNic.VnetHeader;

import org.junit.jupiter.api.Test;

class RunningQemuTest {
    @Test
    void nics_are_read_with_their_host_ends() {
        String text =
                """
                nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:aa:00:01
                 \\ net0: index=0,type=tap,ifname=tap0,script=no,downscript=no
                filters:
                  - hf: type=filter-redirector
                virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:aa:00:02
                 \\ net1: index=0,type=user,net=10.0.2.0,restrict=off
                spare: index=0,type=user,net=10.0.2.0,restrict=off
                """;
        assertThat(RunningQemu.parseNics("d", text))
                .containsExactly(
                        new GuestNic(0, "net0", "tap", "52:54:00:aa:00:01", VnetHeader.PRESENT),
                        new GuestNic(1, "net1", "user", "52:54:00:aa:00:02", VnetHeader.ABSENT));
        assertThat(RunningQemu.parseNics("d", "")).isEmpty();
    }

    @Test
    void what_a_filter_would_not_see_is_refused() {
        assertThatThrownBy(
                        () ->
                                RunningQemu.parseNics(
                                        "d",
                                        """
                                        nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:aa:00:01
                                         \\ net0: index=0,type=tap,ifname=t
                                        nic0: index=1,type=nic,model=virtio-net-pci,macaddr=52:54:00:aa:00:01
                                        """))
                .hasMessageContaining("several queues");
        assertThatThrownBy(
                        () ->
                                RunningQemu.parseNics(
                                        "d",
                                        """
                                        nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:aa:00:01
                                         \\ net0: index=0,type=vhost-user,x
                                        """))
                .hasMessageContaining("vhost=off");
    }
}
