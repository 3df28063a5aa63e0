package holdfast.node.api;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;

/** A request that was not fulfilled. The message is one clear line that ends with the next step. */
public final class ApiException extends RuntimeException {
    /** Why. Each kind has one HTTP status and one exit status of the command line. */
    public enum Kind {
        /** No domain of this name is here. */
        UNKNOWN_DOMAIN(404, 2),
        /** The named node cannot be reached, does not speak our protocol or is this node. */
        UNKNOWN_NODE(404, 2),
        /** The domain has a secondary already. */
        ALREADY_PROTECTED(409, 2),
        /** The domain has no secondary. */
        NOT_PROTECTED(409, 2),
        /** A domain of this name is here already. */
        EXISTS(409, 2),
        /**
         * The request itself is wrong: a mistake in a file, a value out of range, an operation this
         * role does not have.
         */
        BAD_REQUEST(400, 2),
        /**
         * This machine lacks a tool, a right or space; {@link ApiException#fix} is the command that
         * helps, if there is one.
         */
        MISSING(424, 3),
        /** It was tried and failed. */
        FAILED(500, 1);

        private final int httpStatus;
        private final int exitStatus;

        Kind(int httpStatus, int exitStatus) {
            this.httpStatus = httpStatus;
            this.exitStatus = exitStatus;
        }

        public int httpStatus() {
            return httpStatus;
        }

        /** Exit status of the command line: 1 failed, 2 wrong request, 3 something missing. */
        public int exitStatus() {
            return exitStatus;
        }

        /** The name in JSON, such as {@code unknown-domain}. */
        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static Kind of(String text) {
            return JsonNames.parse(Kind.class, text);
        }
    }

    private final Kind kind;
    private final String fix;

    public ApiException(Kind kind, String message) {
        this(kind, message, "", null);
    }

    public ApiException(Kind kind, String message, Throwable cause) {
        this(kind, message, "", cause);
    }

    /**
     * @param message one line: what, where, found, expected, next step
     * @param fix a command to type, or empty
     */
    public ApiException(Kind kind, String message, String fix, Throwable cause) {
        super(message, cause);
        this.kind = kind;
        this.fix = fix;
    }

    public Kind kind() {
        return kind;
    }

    /** A command to type, or empty. */
    public String fix() {
        return fix;
    }

    public static ApiException unknownDomain(String domain) {
        return new ApiException(
                Kind.UNKNOWN_DOMAIN,
                "no domain \"" + domain + "\" on this node; `holdfast list` shows those there are");
    }

    public static ApiException alreadyProtected(String domain, String peer) {
        return new ApiException(
                Kind.ALREADY_PROTECTED,
                "domain \""
                        + domain
                        + "\" is protected by "
                        + peer
                        + " already; `holdfast unprotect "
                        + domain
                        + "` ends that");
    }

    public static ApiException notProtected(String domain) {
        return new ApiException(
                Kind.NOT_PROTECTED,
                "domain \""
                        + domain
                        + "\" is not protected; `holdfast remus "
                        + domain
                        + " NODE` does that");
    }

    public static ApiException exists(String domain) {
        return new ApiException(
                Kind.EXISTS,
                "a domain \""
                        + domain
                        + "\" is on this node already; choose another name or `holdfast destroy "
                        + domain
                        + "`");
    }

    public static ApiException badRequest(String message) {
        return new ApiException(Kind.BAD_REQUEST, message);
    }

    /** Something is missing on this machine, and {@code fix} helps. */
    public static ApiException missing(String message, String fix) {
        return new ApiException(Kind.MISSING, message, fix, null);
    }

    public static ApiException failed(String message, Throwable cause) {
        return new ApiException(Kind.FAILED, message, cause);
    }

    /** Refuses a request whose required field is absent. */
    static void require(String field, Object found) {
        if (found == null) {
            throw badRequest("the request lacks the field " + field);
        }
    }
}
