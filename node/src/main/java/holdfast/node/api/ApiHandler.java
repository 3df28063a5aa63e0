package holdfast.node.api;

import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.handler.ErrorHandler;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.Fields;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.Function;

/**
 * Routes requests to a {@link NodeApi}.
 *
 * <pre>
 * GET  /v1/node                                     NodeInfo
 * POST /v1/node/stop
 * GET  /v1/domains                                  {"domains":[DomainStatus...]}
 * GET  /v1/domains/NAME                             DomainStatus
 * GET  /v1/domains/NAME/change?after=N&amp;timeoutMillis=M   DomainStatus
 * POST /v1/domains/NAME/{pause,unpause,destroy,unprotect,failover,cancel-migration,cancel-save}
 * POST /v1/{create,attach,save,restore,remus,migrate}       DomainSource, AttachRequest, ...
 * </pre>
 *
 * A GET answers one object. A POST answers lines: {@code {"progress":Progress}} any number of
 * times, then {@code {"result":..}} or {@code {"error":..}}; empty lines say that the command is
 * alive. A failure before the first line has its HTTP status.
 */
final class ApiHandler extends Handler.Abstract {
    private static final Logger LOG = LoggerFactory.getLogger(ApiHandler.class);

    /** A client hears at least a line this often while its command runs. */
    static final long KEEP_ALIVE_MILLIS = 5_000;

    private static final long AWAIT_MILLIS_MAX = 60_000;
    private static final String VERSION = "/v1/";

    private final NodeApi api;

    ApiHandler(NodeApi api) {
        this.api = api;
    }

    @Override
    public boolean handle(Request request, Response response, Callback callback) {
        try {
            String path = Request.getPathInContext(request);
            if (!path.startsWith(VERSION)) {
                throw noSuchRoute(request.getMethod(), path);
            }
            List<String> steps = List.of(path.substring(VERSION.length()).split("/", -1));
            switch (request.getMethod()) {
                case "GET" -> sendObject(response, 200, query(request, steps));
                case "POST" ->
                        sendLines(
                                response, Running.start(path, command(steps, body(request), path)));
                default -> throw noSuchRoute(request.getMethod(), path);
            }
            callback.succeeded();
        } catch (ApiException e) {
            fail(response, callback, e);
        } catch (IOException e) {
            LOG.debug("api=client-gone path={}", request.getHttpURI().getPath(), e);
            callback.failed(e);
        } catch (RuntimeException e) {
            LOG.error("api=failed path={}", request.getHttpURI().getPath(), e);
            fail(response, callback, Running.unexpected(e));
        }
        return true;
    }

    private Object query(Request request, List<String> steps) {
        if (steps.equals(List.of("node"))) {
            return api.nodeInfo();
        }
        if (steps.getFirst().equals("domains")) {
            if (steps.size() == 1) {
                return new ApiMessage.Domains(api.list());
            }
            if (steps.size() == 2) {
                return api.status(steps.get(1));
            }
            if (steps.size() == 3 && steps.get(2).equals("change")) {
                Fields parameters = Request.extractQueryParameters(request);
                long after = number(parameters, "after", Long.MIN_VALUE, Long.MAX_VALUE);
                return api.awaitChange(
                        steps.get(1),
                        after,
                        number(parameters, "timeoutMillis", 0, AWAIT_MILLIS_MAX));
            }
        }
        throw noSuchRoute("GET", VERSION + String.join("/", steps));
    }

    private static long number(Fields parameters, String name, long least, long most) {
        String found = parameters.getValue(name);
        try {
            long value = Long.parseLong(found);
            if (value >= least && value <= most) {
                return value;
            }
        } catch (NumberFormatException e) {
            LOG.debug("api=no-number parameter={}", name, e);
        }
        throw ApiException.badRequest(
                "parameter " + name + ": found " + found + ", allowed " + least + " to " + most);
    }

    private Function<ProgressListener, Object> command(
            List<String> steps, byte[] body, String path) {
        if (steps.size() == 3 && steps.getFirst().equals("domains")) {
            String domain = steps.get(1);
            return switch (steps.get(2)) {
                case "pause" -> _ -> api.pause(domain);
                case "unpause" -> _ -> api.unpause(domain);
                case "unprotect" -> _ -> api.unprotect(domain);
                case "failover" -> _ -> api.failover(domain);
                case "cancel-save" -> _ -> api.cancelSave(domain);
                case "cancel-migration" -> _ -> api.cancelMigration(domain);
                case "destroy" -> _ -> done(() -> api.destroy(domain));
                default -> throw noSuchRoute("POST", path);
            };
        }
        return switch (String.join("/", steps)) {
            case "node/stop" -> _ -> done(api::stopNode);
            case "create" -> {
                DomainSource source = ApiJson.readRequest(body, DomainSource.class);
                yield _ -> api.create(source);
            }
            case "attach" -> {
                AttachRequest attach = ApiJson.readRequest(body, AttachRequest.class);
                yield _ -> api.attach(attach);
            }
            case "save" -> {
                SaveRequest save = ApiJson.readRequest(body, SaveRequest.class);
                yield progress -> api.save(save, progress);
            }
            case "restore" -> {
                RestoreRequest restore = ApiJson.readRequest(body, RestoreRequest.class);
                yield progress -> api.restore(restore, progress);
            }
            case "remus" -> {
                RemusRequest remus = ApiJson.readRequest(body, RemusRequest.class);
                yield progress -> api.remus(remus, progress);
            }
            case "migrate" -> {
                MigrateRequest migrate = ApiJson.readRequest(body, MigrateRequest.class);
                yield progress -> api.migrate(migrate, progress);
            }
            default -> throw noSuchRoute("POST", path);
        };
    }

    private static ApiMessage.Done done(Runnable command) {
        command.run();
        return new ApiMessage.Done();
    }

    private static ApiException noSuchRoute(String method, String path) {
        return ApiException.badRequest(
                "no such request: " + method + " " + path + "; docs/cli.md lists them");
    }

    private static byte[] body(Request request) throws IOException {
        try (InputStream in = Content.Source.asInputStream(request)) {
            byte[] body = in.readNBytes(ApiMessage.BODY_BYTES_MAX + 1);
            if (body.length > ApiMessage.BODY_BYTES_MAX) {
                throw ApiException.badRequest(
                        "the request has more than " + ApiMessage.BODY_BYTES_MAX + " bytes");
            }
            return body;
        }
    }

    /** What Jetty itself refuses, such as a malformed path, in the API's own form. */
    static boolean refuse(Request request, Response response, Callback callback) {
        Object cause = request.getAttribute(ErrorHandler.ERROR_MESSAGE);
        fail(response, callback, ApiException.badRequest("not a request of this API: " + cause));
        return true;
    }

    private static void fail(Response response, Callback callback, ApiException failure) {
        if (response.isCommitted()) {
            callback.failed(failure);
            return;
        }
        try {
            sendObject(response, failure.kind().httpStatus(), ApiMessage.ErrorLine.of(failure));
            callback.succeeded();
        } catch (IOException e) {
            LOG.debug("api=client-gone", e);
            callback.failed(e);
        }
    }

    private static void sendObject(Response response, int status, Object object)
            throws IOException {
        byte[] body = line(object);
        response.setStatus(status);
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, ApiMessage.JSON);
        response.getHeaders().put(HttpHeader.CONTENT_LENGTH, body.length);
        try (OutputStream out = Content.Sink.asOutputStream(response)) {
            out.write(body);
        }
    }

    private static void sendLines(Response response, Running running) throws IOException {
        Running.Report report = running.next(KEEP_ALIVE_MILLIS);
        if (report instanceof Running.Report.Failed(ApiException failure)) {
            throw failure;
        }
        response.setStatus(200);
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, ApiMessage.LINES);
        try (OutputStream out = Content.Sink.asOutputStream(response)) {
            while (true) {
                out.write(
                        switch (report) {
                            case Running.Report.Advanced(Progress progress) ->
                                    line(new ApiMessage.ProgressLine(progress));
                            case Running.Report.Ended(Object result) ->
                                    line(new ApiMessage.ResultLine(result));
                            case Running.Report.Failed(ApiException failure) ->
                                    line(ApiMessage.ErrorLine.of(failure));
                            case Running.Report.Quiet() -> new byte[] {'\n'};
                        });
                out.flush();
                if (report instanceof Running.Report.Ended
                        || report instanceof Running.Report.Failed) {
                    return;
                }
                report = running.next(KEEP_ALIVE_MILLIS);
            }
        }
    }

    private static byte[] line(Object object) {
        return (ApiJson.write(object) + "\n").getBytes(StandardCharsets.UTF_8);
    }
}
