package holdfast.qemu.state;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.util.List;

class StateSaverTest {
    @Test
    void a_machine_without_screen_or_flash_has_a_settled_base() {
        for (String block :
                List.of(
                        "ram",
                        "/objects/ram",
                        "pc.bios",
                        "pc.rom",
                        "/rom@etc/acpi/tables",
                        "0000:00:01.0/vga.rom")) {
            assertThat(StateSaver.isMutable("/objects/ram", block)).as(block).isFalse();
        }
        for (String block : List.of("0000:00:01.0/vga.vram", "system.flash0", "other", "am")) {
            assertThat(StateSaver.isMutable("/objects/ram", block)).as(block).isTrue();
        }
    }
}
