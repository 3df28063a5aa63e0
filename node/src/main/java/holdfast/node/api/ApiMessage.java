package holdfast.node.api;

import java.util.List;

/** What stands around the records of {@link NodeApi} on the wire. */
final class ApiMessage {
    private ApiMessage() {}

    /** Media type of commands' answers: JSON objects, one a line. */
    static final String LINES = "application/x-ndjson";

    static final String JSON = "application/json";

    /** Requests and single answers are refused beyond this. */
    static final int BODY_BYTES_MAX = 8 << 20;

    record Domains(List<DomainStatus> domains) {}

    record ProgressLine(Progress progress) {}

    record ResultLine(Object result) {}

    record ErrorLine(Failure error) {
        static ErrorLine of(ApiException failure) {
            return new ErrorLine(new Failure(failure.kind(), failure.getMessage(), failure.fix()));
        }
    }

    record Failure(ApiException.Kind kind, String message, String fix) {
        ApiException toException() {
            return new ApiException(kind, message, fix == null ? "" : fix, null);
        }
    }

    /** The answer of a command that has nothing to say. */
    record Done() {}
}
