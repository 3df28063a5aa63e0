package holdfast.node.api;

import com.fasterxml.jackson.databind.JsonNode;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * The daemon behind a Unix socket. Each call is a connection of its own, so any number of threads
 * may call. A daemon that is not there is {@link ApiException.Kind#MISSING}; one that falls silent
 * is {@link ApiException.Kind#FAILED}.
 */
public final class ApiClient implements NodeApi {
    /** A daemon that says nothing for so long is not well. */
    private static final long SILENCE_MILLIS = 30_000;

    private static final byte[] NOTHING = {};

    private final Path socket;

    public ApiClient(Path socket) {
        this.socket = socket;
    }

    @Override
    public NodeInfo nodeInfo() {
        return get("node", SILENCE_MILLIS, NodeInfo.class);
    }

    @Override
    public List<DomainStatus> list() {
        return get("domains", SILENCE_MILLIS, ApiMessage.Domains.class).domains();
    }

    @Override
    public DomainStatus status(String domain) {
        return get("domains/" + segment(domain), SILENCE_MILLIS, DomainStatus.class);
    }

    @Override
    public DomainStatus awaitChange(String domain, long afterChange, long timeoutMillis) {
        return get(
                "domains/"
                        + segment(domain)
                        + "/change?after="
                        + afterChange
                        + "&timeoutMillis="
                        + timeoutMillis,
                timeoutMillis + SILENCE_MILLIS,
                DomainStatus.class);
    }

    @Override
    public DomainStatus create(DomainSource source) {
        return post("create", source, ProgressListener.none(), DomainStatus.class);
    }

    @Override
    public DomainStatus attach(AttachRequest request) {
        return post("attach", request, ProgressListener.none(), DomainStatus.class);
    }

    @Override
    public DomainStatus pause(String domain) {
        return postDomain(domain, "pause", DomainStatus.class);
    }

    @Override
    public DomainStatus unpause(String domain) {
        return postDomain(domain, "unpause", DomainStatus.class);
    }

    @Override
    public void destroy(String domain) {
        postDomain(domain, "destroy", ApiMessage.Done.class);
    }

    @Override
    public SaveResult save(SaveRequest request, ProgressListener progress) {
        return post("save", request, progress, SaveResult.class);
    }

    @Override
    public DomainStatus restore(RestoreRequest request, ProgressListener progress) {
        return post("restore", request, progress, DomainStatus.class);
    }

    @Override
    public DomainStatus remus(RemusRequest request, ProgressListener progress) {
        return post("remus", request, progress, DomainStatus.class);
    }

    @Override
    public DomainStatus unprotect(String domain) {
        return postDomain(domain, "unprotect", DomainStatus.class);
    }

    @Override
    public DomainStatus failover(String domain) {
        return postDomain(domain, "failover", DomainStatus.class);
    }

    @Override
    public MigrateResult migrate(MigrateRequest request, ProgressListener progress) {
        return post("migrate", request, progress, MigrateResult.class);
    }

    @Override
    public DomainStatus cancelSave(String domain) {
        return postDomain(domain, "cancel-save", DomainStatus.class);
    }

    @Override
    public DomainStatus cancelMigration(String domain) {
        return postDomain(domain, "cancel-migration", DomainStatus.class);
    }

    @Override
    public void stopNode() {
        post("node/stop", null, ProgressListener.none(), ApiMessage.Done.class);
    }

    private static String segment(String domain) {
        if (!DomainName.isLegal(domain)) {
            throw ApiException.unknownDomain(domain);
        }
        return domain;
    }

    private <T> T postDomain(String domain, String verb, Class<T> type) {
        return post("domains/" + segment(domain) + "/" + verb, null, ProgressListener.none(), type);
    }

    private <T> T get(String path, long silenceMillis, Class<T> type) {
        try (HttpExchange exchange = connect(silenceMillis)) {
            int status = exchange.request("GET", "/v1/" + path, NOTHING);
            JsonNode answer = ApiJson.readAnswer(exchange.body());
            requireOk(status, answer);
            return ApiJson.convert(answer, type);
        } catch (IOException e) {
            throw broken(e);
        }
    }

    private <T> T post(String path, Object request, ProgressListener progress, Class<T> type) {
        byte[] body =
                request == null ? NOTHING : ApiJson.write(request).getBytes(StandardCharsets.UTF_8);
        try (HttpExchange exchange = connect(SILENCE_MILLIS)) {
            int status = exchange.request("POST", "/v1/" + path, body);
            for (byte[] line = exchange.line(); line != null; line = exchange.line()) {
                if (line.length == 0) {
                    continue;
                }
                JsonNode answer = ApiJson.readAnswer(line);
                requireOk(status, answer);
                if (answer.has("progress")) {
                    progress.progress(ApiJson.convert(answer.get("progress"), Progress.class));
                } else {
                    return ApiJson.convert(answer.path("result"), type);
                }
            }
            throw new IOException("the daemon's answer ended without a result");
        } catch (IOException e) {
            throw broken(e);
        }
    }

    private static void requireOk(int status, JsonNode answer) throws IOException {
        if (answer.has("error")) {
            throw ApiJson.convert(answer.get("error"), ApiMessage.Failure.class).toException();
        }
        if (status != 200) {
            throw new IOException("HTTP status " + status + " without an error in it");
        }
    }

    private HttpExchange connect(long silenceMillis) {
        try {
            return new HttpExchange(socket, silenceMillis);
        } catch (IOException | IllegalArgumentException e) {
            if (Files.exists(socket) && !Files.isWritable(socket)) {
                throw new ApiException(
                        ApiException.Kind.MISSING,
                        "no right to use the daemon's socket "
                                + socket
                                + "; only the user who started the daemon may, or root",
                        e);
            }
            throw new ApiException(
                    ApiException.Kind.MISSING,
                    "the daemon of this node does not run: nothing answers on " + socket,
                    "holdfast node start",
                    e);
        }
    }

    private ApiException broken(IOException e) {
        return ApiException.failed(
                "lost the daemon on "
                        + socket
                        + ": "
                        + e.getMessage()
                        + "; `holdfast node status` says whether it runs",
                e);
    }
}
