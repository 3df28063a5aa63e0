package holdfast.node.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.InstanceOfAssertFactories.type;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Client and server of the API over a real Unix socket. */
@Timeout(30)
class ApiRoundTripTest {
    @TempDir Path directory;
    private final MemoryNode node = new MemoryNode();
    private ApiServer server;
    private ApiClient client;

    @BeforeEach
    void listen() {
        server = ApiServer.start(node, directory.resolve("api.sock"));
        client = new ApiClient(server.socket());
    }

    @AfterEach
    void end() {
        node.copyDone.countDown();
        server.close();
    }

    private void create(String name) {
        client.create(new DomainSource("/tmp/" + name + ".yaml", "name: " + name));
    }

    private static RemusRequest remus(String domain, String peer) {
        return RemusRequest.of(domain, peer)
                .withArbiter(RemusRequest.ArbiterKind.NONE)
                .withDeadline(100, 500);
    }

    private static ApiException.Kind kindOf(Runnable call) {
        try {
            call.run();
        } catch (ApiException e) {
            return e.kind();
        }
        throw new AssertionError("expected a failure");
    }

    @Test
    void a_domain_travels_as_it_is() {
        create("web");
        assertThat(client.list()).containsExactly(MemoryNode.fresh("web"));
        assertThat(client.status("web")).isEqualTo(MemoryNode.fresh("web"));
        assertThat(client.nodeInfo()).isEqualTo(node.nodeInfo());
    }

    @Test
    void commands_change_it_and_answer_what_it_became() {
        create("web");
        assertThat(client.pause("web").state()).isEqualTo(DomainStatus.State.PAUSED);
        assertThat(client.unpause("web").state()).isEqualTo(DomainStatus.State.RUNNING);
        client.destroy("web");
        assertThat(client.list()).isEmpty();
    }

    @Test
    void an_empty_node_lists_nothing() {
        assertThat(client.list()).isEmpty();
    }

    @Test
    void progress_arrives_while_the_command_runs() {
        create("web");
        List<Progress> heard = new ArrayList<>();
        DomainStatus done =
                client.remus(
                        remus("web", "hostB"),
                        progress -> {
                            heard.add(progress);
                            node.copyDone.countDown();
                        });
        assertThat(heard)
                .extracting(Progress::stage)
                .containsExactly("copying", "first-checkpoint");
        assertThat(done.role()).isEqualTo(DomainStatus.Role.PRIMARY);
    }

    @Test
    void a_command_goes_on_when_its_client_is_gone() throws Exception {
        create("web");
        try (SocketChannel channel =
                SocketChannel.open(UnixDomainSocketAddress.of(server.socket()))) {
            String body = ApiJson.write(remus("web", "hostB"));
            channel.write(
                    utf8(
                            "POST /v1/remus HTTP/1.1\r\nHost: h\r\nContent-Length: "
                                    + body.length()
                                    + "\r\n\r\n"
                                    + body));
            assertThat(channel.read(ByteBuffer.allocate(1))).isPositive();
        }
        node.copyDone.countDown();
        assertThat(client.awaitChange("web", 1, 10_000).role())
                .isEqualTo(DomainStatus.Role.PRIMARY);
    }

    @Test
    void a_watcher_hears_of_a_change_at_once_and_of_none_after_its_time() throws Exception {
        create("web");
        assertThat(client.awaitChange("web", 1, 20).change()).isEqualTo(1);
        CompletableFuture<DomainStatus> watcher =
                CompletableFuture.supplyAsync(() -> client.awaitChange("web", 1, 20_000));
        client.pause("web");
        assertThat(watcher.get(10, TimeUnit.SECONDS).state()).isEqualTo(DomainStatus.State.PAUSED);
    }

    @Test
    void every_kind_of_failure_arrives_as_it_left() {
        create("web");
        assertThat(kindOf(() -> client.status("wbe"))).isEqualTo(ApiException.Kind.UNKNOWN_DOMAIN);
        assertThat(kindOf(() -> create("web"))).isEqualTo(ApiException.Kind.EXISTS);
        assertThat(kindOf(() -> client.unprotect("web")))
                .isEqualTo(ApiException.Kind.NOT_PROTECTED);
        assertThat(kindOf(() -> client.failover("web"))).isEqualTo(ApiException.Kind.BAD_REQUEST);
        assertThat(kindOf(() -> client.remus(remus("web", "nowhere"), ProgressListener.none())))
                .isEqualTo(ApiException.Kind.UNKNOWN_NODE);
        node.copyDone.countDown();
        client.remus(remus("web", "hostB"), ProgressListener.none());
        assertThat(kindOf(() -> client.remus(remus("web", "hostB"), ProgressListener.none())))
                .isEqualTo(ApiException.Kind.ALREADY_PROTECTED);
        assertThatThrownBy(() -> client.attach(new AttachRequest("/tmp/q", null)))
                .asInstanceOf(type(ApiException.class))
                .satisfies(
                        e -> {
                            assertThat(e.kind()).isEqualTo(ApiException.Kind.MISSING);
                            assertThat(e.fix()).isEqualTo("sudo sysctl kernel.yama.ptrace_scope=0");
                            assertThat(e).hasMessage("no right to trace the process behind /tmp/q");
                        });
    }

    @Test
    void a_failure_after_progress_arrives_too() {
        create("web");
        List<Progress> heard = new ArrayList<>();
        SaveRequest request = new SaveRequest("web", "/full/web.save", SaveRequest.After.END);
        assertThatThrownBy(() -> client.save(request, heard::add))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("no space left on device");
    }

    @Test
    void a_defect_is_told_and_the_daemon_lives_on() {
        assertThatThrownBy(
                        () ->
                                client.restore(
                                        new RestoreRequest("/x", null), ProgressListener.none()))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining("a defect nobody thought of");
        assertThat(client.list()).isEmpty();
    }

    @Test
    void stopping_the_node_reaches_it() {
        client.stopNode();
        assertThat(node.stopped.getCount()).isZero();
    }

    @Test
    void names_that_need_escaping_are_only_unknown() {
        for (String name : List.of("a b", "a/b", "..", "ä", "%2f", "a?b=c", "")) {
            assertThat(kindOf(() -> client.status(name)))
                    .as(name)
                    .isIn(ApiException.Kind.UNKNOWN_DOMAIN, ApiException.Kind.BAD_REQUEST);
        }
    }

    @Test
    void a_daemon_that_is_not_there_is_missing_and_the_message_says_how_to_start_it() {
        ApiClient nobody = new ApiClient(directory.resolve("none.sock"));
        assertThatThrownBy(nobody::list)
                .asInstanceOf(type(ApiException.class))
                .satisfies(
                        e -> {
                            assertThat(e.kind()).isEqualTo(ApiException.Kind.MISSING);
                            assertThat(e.fix()).isEqualTo("holdfast node start");
                        });
    }

    @Test
    void only_the_owner_may_use_the_socket() throws IOException {
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(server.socket())))
                .isEqualTo("rw-------");
    }

    @Test
    void a_second_daemon_is_refused_and_the_first_unharmed() {
        assertThat(kindOf(() -> ApiServer.start(node, server.socket()).close()))
                .isEqualTo(ApiException.Kind.EXISTS);
        assertThat(client.list()).isEmpty();
    }

    @Test
    void the_socket_of_a_dead_daemon_is_replaced() throws IOException {
        Path stale = directory.resolve("stale.sock");
        try (ServerSocketChannel dead = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            dead.bind(UnixDomainSocketAddress.of(stale));
        }
        try (ApiServer second = ApiServer.start(node, stale)) {
            assertThat(new ApiClient(second.socket()).list()).isEmpty();
        }
        assertThat(stale).doesNotExist();
    }

    @Test
    void a_socket_path_beyond_the_kernels_limit_is_refused_by_name() {
        Path longPath = directory.resolve("x".repeat(120)).resolve("api.sock");
        assertThatThrownBy(() -> ApiServer.start(node, longPath))
                .hasMessageContaining("the kernel allows 107");
    }

    @Test
    void a_daemon_that_dies_in_the_middle_of_its_answer_is_a_failure() throws Exception {
        Path path = directory.resolve("dying.sock");
        for (String answer :
                List.of(
                        "",
                        "HTTP/1.1 200 OK\r\n",
                        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"domains\":[",
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"dom",
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
                        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                        "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
                        "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
                        "SSH-2.0-OpenSSH\r\n\r\n")) {
            try (ServerSocketChannel dying =
                    ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
                dying.bind(UnixDomainSocketAddress.of(path));
                CompletableFuture<Void> served =
                        CompletableFuture.runAsync(() -> answerOnce(dying, answer));
                assertThat(kindOf(new ApiClient(path)::list))
                        .as(answer)
                        .isEqualTo(ApiException.Kind.FAILED);
                served.get(10, TimeUnit.SECONDS);
            }
            Files.delete(path);
        }
    }

    private static void answerOnce(ServerSocketChannel listener, String answer) {
        try (SocketChannel channel = listener.accept()) {
            ByteArrayOutputStream request = new ByteArrayOutputStream();
            ByteBuffer some = ByteBuffer.allocate(4096);
            while (!request.toString(StandardCharsets.US_ASCII).contains("\r\n\r\n")) {
                channel.read(some.clear());
                request.write(some.array(), 0, some.position());
            }
            Channels.newOutputStream(channel).write(answer.getBytes(StandardCharsets.US_ASCII));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Test
    void a_wrong_request_is_refused_with_the_field_at_fault() throws IOException {
        String remus = ApiJson.write(remus("web", "hostB"));
        assertThat(
                        raw(
                                "POST",
                                "/v1/remus",
                                remus.replace("\"intervalMillis\":25", "\"intervalMillis\":0")))
                .contains(" 400 ", "intervalMillis 0: allowed 1 to 10000");
        assertThat(raw("POST", "/v1/remus", remus.replace("\"none\"", "\"any\"")))
                .contains(" 400 ", "arbiter", "operator, none");
        assertThat(raw("POST", "/v1/remus", remus.replace("\"plain\"", "\"plane\":1,\"plain\"")))
                .contains(" 400 ", "plane", "known are");
        assertThat(raw("POST", "/v1/remus", "{\"domain\":")).contains(" 400 ", "no JSON");
        assertThat(raw("POST", "/v1/remus", remus.replace("\"plain\":false,", "")))
                .contains(" 400 ", "field plain of the request: it is missing");
        assertThat(raw("GET", "/v1/domains/a%2fb", "")).contains(" 400 ", "bad-request");
        assertThat(raw("POST", "/v1/remus", "{}")).contains(" 400 ");
        assertThat(raw("POST", "/v1/create", "{}")).contains(" 400 ", "lacks the field file");
        assertThat(raw("POST", "/v1/save", "null")).contains(" 400 ");
        assertThat(raw("GET", "/v1/nonsense", "")).contains(" 400 ", "no such request");
        assertThat(raw("DELETE", "/v1/domains/web", "")).contains(" 400 ", "no such request");
        assertThat(raw("GET", "/v1/domains/web/change?after=x&timeoutMillis=1", ""))
                .contains(" 400 ", "after");
        assertThat(raw("POST", "/v1/create", "x".repeat(ApiMessage.BODY_BYTES_MAX + 1)))
                .contains(" 400 ", "more than");
        assertThat(client.list()).isEmpty();
    }

    private String raw(String method, String path, String body) throws IOException {
        try (SocketChannel channel =
                SocketChannel.open(UnixDomainSocketAddress.of(server.socket()))) {
            ByteBuffer request =
                    utf8(
                            method
                                    + " "
                                    + path
                                    + " HTTP/1.1\r\n"
                                    + "Host: h\r\n"
                                    + "Connection: close\r\n"
                                    + "Content-Length: "
                                    + body.length()
                                    + "\r\n\r\n"
                                    + body);
            while (request.hasRemaining()) {
                channel.write(request);
            }
            return new String(
                    Channels.newInputStream(channel).readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static ByteBuffer utf8(String text) {
        return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
    }
}
