package holdfast.node.api;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;

/**
 * @param domain the domain's name
 * @param file absolute path of the file to write; an existing one is replaced only by a whole new
 *     one
 * @param after what becomes of the domain once the file is complete
 */
public record SaveRequest(String domain, String file, After after) {
    public SaveRequest {
        ApiException.require("domain", domain);
        ApiException.require("file", file);
        ApiException.require("after", after);
    }

    /** What becomes of a saved domain. */
    public enum After {
        /** It ends: its disk stays as the saved memory knows it. */
        END,
        /** It stays suspended. */
        PAUSE,
        /** It goes on; the file then fits only a copy of the disk taken at the same moment. */
        CONTINUE;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static After of(String text) {
            return JsonNames.parse(After.class, text);
        }
    }
}
