package holdfast.qemu.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

class ProcessMapsTest {
    @Test
    void every_form_of_line_is_read() throws Exception {
        assertThat(
                        ProcessMaps.parse(
                                "7f5a3de00000-7f5a4de00000 rw-s 00001000 00:1a 42                  "
                                        + "       /dev/shm/a b (deleted)"))
                .isEqualTo(
                        new ProcessMaps.Mapping(
                                0x7f5a3de00000L,
                                0x7f5a4de00000L,
                                ProcessMaps.Visibility.SHARED,
                                0x1000,
                                new FileIdentity(0, 0x1a, 42),
                                "/dev/shm/a b (deleted)"));
        assertThat(ProcessMaps.parse("7f00-7f08 rw-p 00000000 00:00 0 ").name()).isEmpty();
        assertThat(
                        ProcessMaps.parse(
                                        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   "
                                                + "               [vsyscall]")
                                .name())
                .isEqualTo("[vsyscall]");
    }

    @Test
    void a_line_of_another_form_is_an_error_that_shows_it() {
        for (String line :
                new String[] {
                    "", "7f00", "7f00-7f08 rw", "7f08-7f00 rw-p 0 00:00 0", "x-y rw-p 0 00:00 0"
                }) {
            assertThatThrownBy(() -> ProcessMaps.parse(line))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("'" + line + "'");
        }
    }

    @Test
    void a_files_identity_is_what_the_maps_of_this_process_show() throws Exception {
        boolean found = false;
        for (ProcessMaps.Mapping mapping : ProcessMaps.read(ProcessHandle.current().pid())) {
            if (mapping.name().endsWith("/libjvm.so")) {
                found = true;
                assertThat(mapping.file()).isEqualTo(FileIdentity.of(Path.of(mapping.name())));
            }
        }
        assertThat(found).isTrue();
    }

    @Test
    void a_failed_call_names_itself_and_its_error() {
        assertThatThrownBy(() -> Syscalls.open(Path.of("/nowhere"), Syscalls.O_RDONLY))
                .isInstanceOf(SystemCallException.class)
                .hasMessage("open /nowhere: errno 2 (No such file or directory)");
        assertThatThrownBy(() -> Syscalls.close(-1))
                .isInstanceOfSatisfying(
                        SystemCallException.class, e -> assertThat(e.errno()).isEqualTo(9));
    }

    @Test
    void this_process_and_its_parent_are_known() throws Exception {
        ProcessStatus status = ProcessStatus.read(ProcessHandle.current().pid());
        assertThat(status.processId()).isEqualTo(ProcessHandle.current().pid());
        assertThat(status.parentPid())
                .isEqualTo(ProcessHandle.current().parent().orElseThrow().pid());
        assertThat(status.tracerTid()).isZero();
        assertThat(ProcessStatus.usesKvm(status.processId())).isFalse();
        assertThat(Files.exists(Path.of("/proc/self/pagemap"))).isTrue();
    }
}
