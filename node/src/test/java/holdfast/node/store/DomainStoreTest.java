package holdfast.node.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.DomainStatus;
import holdfast.node.api.RemusRequest;
import holdfast.node.link.NodeAddress;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

class DomainStoreTest {
    /** Stands for what describes a domain. */
    record Spec(String name, long memoryMib) {}

    private static final SpecCodec<Spec> CODEC =
            new SpecCodec<>() {
                @Override
                public String write(Spec spec) {
                    return spec.name() + " " + spec.memoryMib();
                }

                @Override
                public Spec read(String file, String text) {
                    String[] words = text.strip().split(" ");
                    if (words.length != 2) {
                        throw new IllegalArgumentException("line 1, column 1: expected two words");
                    }
                    return new Spec(words[0], Long.parseLong(words[1]));
                }
            };

    @TempDir Path directory;

    private DomainStore<Spec> store() {
        return new DomainStore<>(directory, CODEC);
    }

    private static DomainRuntime runtime(long generation) {
        return new DomainRuntime(
                DomainStatus.Role.UNPROTECTED,
                generation,
                4711,
                123456,
                "/dev/shm/hf-web",
                "/run/holdfast/web.qmp",
                "",
                "",
                DomainRuntime.Origin.STARTED);
    }

    private DomainStore.Stored<Spec> only() {
        DomainStore.Contents<Spec> contents = store().load();
        assertThat(contents.damages()).isEmpty();
        assertThat(contents.domains()).hasSize(1);
        return contents.domains().getFirst();
    }

    @Test
    void what_was_put_is_there_after_a_restart() {
        store().putSpec("web", new Spec("web", 256));
        assertThat(only())
                .isEqualTo(
                        new DomainStore.Stored<>(
                                "web",
                                new Spec("web", 256),
                                Optional.empty(),
                                Optional.empty(),
                                DomainStore.Wanted.RUNNING));
        store().putRuntime("web", runtime(1));
        store().putRuntime("web", runtime(2));
        assertThat(only().runtime()).contains(runtime(2));
    }

    @Test
    void a_wish_is_there_after_a_restart_until_it_is_removed_and_only_of_a_known_domain() {
        ProtectionWish wish =
                new ProtectionWish(
                        List.of("hostB", "10.0.0.3:7300", "hostB:7227"),
                        25,
                        true,
                        false,
                        RemusRequest.ArbiterKind.OPERATOR,
                        100,
                        500,
                        null);
        assertThat(wish.nodes()).containsExactly("hostB:7227", "10.0.0.3:7300");
        store().putWish("web", wish);
        assertThat(store().load().domains()).isEmpty();
        store().putSpec("web", new Spec("web", 256));
        store().putWish("web", wish);
        assertThat(only().wish()).contains(wish);
        store().removeWish("web");
        store().removeWish("web");
        assertThat(only().wish()).isEmpty();
    }

    @Test
    void a_pause_is_there_after_a_restart_until_it_is_removed_and_only_of_a_known_domain() {
        store().putWanted("web", DomainStore.Wanted.PAUSED);
        assertThat(store().load().domains()).isEmpty();
        store().putSpec("web", new Spec("web", 256));
        store().putWanted("web", DomainStore.Wanted.PAUSED);
        assertThat(only().wanted()).isEqualTo(DomainStore.Wanted.PAUSED);
        store().putWanted("web", DomainStore.Wanted.RUNNING);
        store().putWanted("web", DomainStore.Wanted.RUNNING);
        assertThat(only().wanted()).isEqualTo(DomainStore.Wanted.RUNNING);
    }

    private static ProtectionWish byTwo() {
        return new ProtectionWish(
                List.of("b", "c"), 25, true, false, RemusRequest.ArbiterKind.NONE, 100, 500, null);
    }

    @Test
    void a_survivor_prefers_the_old_primary_and_never_names_itself() {
        ProtectionWish wish = byTwo();
        NodeAddress a = new NodeAddress("10.0.0.1", 7227);
        assertThat(wish.without(NodeAddress.parse("b")).preferring(a).nodes())
                .containsExactly("10.0.0.1:7227", "c:7227");
    }

    @Test
    void the_new_node_of_a_domain_keeps_the_operators_order_and_asks_the_old_one_last() {
        ProtectionWish wish = byTwo();
        NodeAddress a = NodeAddress.parse("a");
        assertThat(wish.without(NodeAddress.parse("c")).followedBy(a).nodes())
                .containsExactly("b:7227", "a:7227");
        assertThat(wish.followedBy(NodeAddress.parse("b")).nodes())
                .containsExactly("c:7227", "b:7227");
        ProtectionWish full =
                wish.by(
                        IntStream.range(0, ProtectionWish.NODES_MAX)
                                .mapToObj(i -> "n" + i)
                                .toList());
        assertThat(full.followedBy(a).nodes()).isEqualTo(full.nodes());
    }

    @Test
    void a_damaged_wish_is_moved_aside_and_said() throws IOException {
        store().putSpec("web", new Spec("web", 256));
        Files.writeString(
                directory.resolve("web").resolve("wish.json"),
                """
                {"nodes":["b:99999"],"intervalMillis":25,"holdOutput":true,"plain":false,
                "arbiter":"none","heartbeatMillis":100,"deadlineMillis":500}
                """);
        DomainStore.Contents<Spec> contents = store().load();
        assertThat(contents.damages()).hasSize(1);
        assertThat(contents.damages().getFirst().text()).contains("99999");
        assertThat(contents.domains().getFirst().wish()).isEmpty();
    }

    @Test
    void what_was_removed_is_gone_and_may_come_again() {
        store().putSpec("web", new Spec("web", 256));
        store().remove("web");
        store().remove("web");
        assertThat(store().load().domains()).isEmpty();
        store().putSpec("web", new Spec("web", 512));
        assertThat(only().spec().memoryMib()).isEqualTo(512);
    }

    /** A step of replacing a file. */
    enum Step {
        WRITE,
        RENAME,
        FORCE_DIRECTORY
    }

    /** The file system with one step that fails, in one of two ways. */
    private record Failing(Step at, Optional<String> reason) implements FileSteps {
        private void maybe(Step step) throws IOException {
            if (step == at) {
                if (reason.isEmpty()) {
                    throw new PowerLoss();
                }
                throw new FileSystemException("file", null, reason.get());
            }
        }

        @Override
        public void write(Path file, byte[] content) throws IOException {
            if (at == Step.WRITE) {
                Files.write(file, java.util.Arrays.copyOf(content, content.length / 2));
            }
            maybe(Step.WRITE);
            REAL.write(file, content);
        }

        @Override
        public void rename(Path from, Path to) throws IOException {
            maybe(Step.RENAME);
            REAL.rename(from, to);
        }

        @Override
        public void forceDirectory(Path directory) throws IOException {
            maybe(Step.FORCE_DIRECTORY);
            REAL.forceDirectory(directory);
        }
    }

    private static final class PowerLoss extends Error {
        private static final long serialVersionUID = 1;
    }

    @ParameterizedTest
    @EnumSource
    void a_crash_at_any_step_leaves_the_old_or_the_new_content(Step step) {
        store().putSpec("web", new Spec("web", 256));
        store().putRuntime("web", runtime(1));
        DomainStore<Spec> crashing =
                new DomainStore<>(directory, CODEC, new Failing(step, Optional.empty()));
        assertThatThrownBy(() -> crashing.putRuntime("web", runtime(2)))
                .isInstanceOf(PowerLoss.class);
        assertThat(only().runtime()).contains(runtime(step == Step.FORCE_DIRECTORY ? 2 : 1));
        assertThat(names("web")).containsExactly("runtime.json", "spec.json");
    }

    @ParameterizedTest
    @EnumSource
    void a_crash_while_a_domain_is_new_leaves_none_or_all_of_it(Step step) {
        DomainStore<Spec> crashing =
                new DomainStore<>(directory, CODEC, new Failing(step, Optional.empty()));
        assertThatThrownBy(() -> crashing.putSpec("web", new Spec("web", 256)))
                .isInstanceOf(PowerLoss.class);
        assertThat(store().load()).isEqualTo(new DomainStore.Contents<Spec>(List.of(), List.of()));
        assertThat(directory).isEmptyDirectory();
    }

    @ParameterizedTest
    @EnumSource
    void a_full_disk_is_named_and_harms_nothing(Step step) {
        store().putSpec("web", new Spec("web", 256));
        store().putRuntime("web", runtime(1));
        DomainStore<Spec> full =
                new DomainStore<>(
                        directory,
                        CODEC,
                        new Failing(step, Optional.of("No space left on device")));
        assertThatThrownBy(() -> full.putRuntime("web", runtime(2)))
                .isInstanceOf(StoreException.class)
                .hasMessageContaining("runtime.json: No space left on device; the domain goes on");
        assertThat(only().runtime()).contains(runtime(step == Step.FORCE_DIRECTORY ? 2 : 1));
        assertThat(names("web")).containsExactly("runtime.json", "spec.json");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "{",
                "null",
                "[]",
                "\u0000\u0000\u0000\u0000",
                "\uFFFF",
                "{\"role\":\"king\"}",
                "{\"role\":\"primary\",\"generation\":-1}",
                "{\"role\":\"primary\"}",
                "{\"nonsense\":1}",
                "{} {}"
            })
    void a_damaged_file_is_reported_by_name_and_moved_aside(String content) throws IOException {
        store().putSpec("web", new Spec("web", 256));
        Path file = directory.resolve("web/runtime.json");
        Files.writeString(file, content);
        DomainStore.Contents<Spec> contents = store().load();
        assertThat(contents.domains())
                .extracting(DomainStore.Stored::runtime)
                .containsExactly(Optional.empty());
        assertThat(contents.damages()).extracting(DomainStore.Damage::file).containsExactly(file);
        assertThat(contents.damages().getFirst().text())
                .contains(file.toString(), "runtime.json.damaged-1", "holdfast attach");
        assertThat(directory.resolve("web/runtime.json.damaged-1")).hasContent(content);
        assertThat(file).doesNotExist();
        Files.writeString(file, content);
        assertThat(store().load().damages().getFirst().movedTo())
                .hasFileName("runtime.json.damaged-2");
    }

    @Test
    void a_damaged_description_does_not_hide_the_other_domains() throws IOException {
        store().putSpec("db", new Spec("db", 64));
        store().putSpec("web", new Spec("web", 256));
        Files.writeString(directory.resolve("db/spec.json"), "db");
        DomainStore.Contents<Spec> contents = store().load();
        assertThat(contents.domains()).extracting(DomainStore.Stored::name).containsExactly("web");
        assertThat(contents.damages().getFirst().reason()).contains("line 1, column");
    }

    @Test
    void a_file_beyond_the_bound_is_not_read() throws IOException {
        store().putSpec("web", new Spec("web", 256));
        Files.write(directory.resolve("web/spec.json"), new byte[DomainStore.FILE_BYTES_MAX + 1]);
        assertThat(store().load().damages().getFirst().reason())
                .contains("at most 1048576 expected");
    }

    @Test
    void what_a_crash_while_removing_left_is_tidied_up() throws IOException {
        store().putSpec("web", new Spec("web", 256));
        Files.move(directory.resolve("web"), directory.resolve(".removed-web"));
        assertThat(store().load().domains()).isEmpty();
        assertThat(directory).isEmptyDirectory();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "..", "a/b", ".removed-x", "-x", "a b"})
    void a_name_that_leads_elsewhere_is_refused(String name) {
        assertThatThrownBy(() -> store().putSpec(name, new Spec("x", 1)))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void a_second_daemon_cannot_hold_the_same_directory() throws IOException {
        StateDirectory state = new StateDirectory(directory.resolve("state"));
        state.create();
        state.create();
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(state.path())))
                .isEqualTo("rwx------");
        try (StateDirectory.Held first = state.hold()) {
            assertThat(first).isNotNull();
            assertThatThrownBy(state::hold)
                    .isInstanceOf(StoreException.class)
                    .hasMessageContaining("process " + ProcessHandle.current().pid());
        }
        state.hold().close();
    }

    @Test
    void the_directory_is_chosen_by_option_then_variable_then_user() {
        Map<String, String> environment =
                Map.of("HOLDFAST_STATE_DIR", "/v", "XDG_RUNTIME_DIR", "/run/user/7");
        assertChosen(Optional.of(Path.of("/o")), "root", environment, "/o", "/o");
        assertChosen(Optional.empty(), "root", environment, "/v", "/v");
        assertChosen(Optional.empty(), "root", Map.of(), "/var/lib/holdfast", "/run/holdfast");
        assertChosen(
                Optional.empty(),
                "jo",
                Map.of("XDG_RUNTIME_DIR", "/run/user/7", "HOME", "/home/jo"),
                "/home/jo/.local/state/holdfast",
                "/run/user/7/holdfast");
        assertChosen(
                Optional.empty(),
                "jo",
                Map.of("XDG_STATE_HOME", "/s", "HOME", "/home/jo"),
                "/s/holdfast",
                "/tmp/holdfast-jo");
        assertChosen(
                Optional.empty(),
                "jo",
                Map.of("HOME", " "),
                "/tmp/holdfast-jo",
                "/tmp/holdfast-jo");
    }

    private static void assertChosen(
            Optional<Path> option,
            String user,
            Map<String, String> environment,
            String path,
            String sockets) {
        StateDirectory chosen = StateDirectory.choose(option, user, environment);
        assertThat(chosen.path()).hasToString(path);
        assertThat(chosen.socket()).hasToString(sockets + "/api.sock");
        assertThat(chosen.run()).hasToString(sockets + "/run");
    }

    @Test
    void a_start_of_the_host_is_noticed_once() throws IOException {
        StateDirectory state = new StateDirectory(directory.resolve("a"), directory.resolve("b"));
        state.create();
        assertThat(state.hostRestarted()).isFalse();
        state.recordBoot();
        assertThat(state.hostRestarted()).isFalse();
        Files.writeString(directory.resolve("a/boot-id"), "00000000-0000-0000-0000-000000000000\n");
        assertThat(state.hostRestarted()).isTrue();
        state.recordBoot();
        assertThat(state.hostRestarted()).isFalse();
    }

    private List<String> names(String domain) {
        try (Stream<Path> files = Files.list(directory.resolve(domain))) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
