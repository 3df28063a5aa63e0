package holdfast.wire.nbd;

import holdfast.wire.Bytes;

import java.util.List;

/** What a client asks for in the handshake. */
public sealed interface NbdOption extends NbdMessage.ToServer {
    /** Numbers of options on the wire. */
    enum Type {
        EXPORT_NAME(1),
        ABORT(2),
        LIST(3),
        STARTTLS(5),
        INFO(6),
        GO(7),
        STRUCTURED_REPLY(8),
        LIST_META_CONTEXT(9),
        SET_META_CONTEXT(10);

        private final int number;

        Type(int number) {
            this.number = number;
        }

        /** The number on the wire. */
        public int number() {
            return number;
        }
    }

    /** The number that the option's replies repeat. */
    int number();

    /** Ends the handshake without an answer that could be an error. */
    record ExportName(String name) implements NbdOption {
        public ExportName {
            NbdMessage.requireText("EXPORT_NAME name", name);
        }

        @Override
        public int number() {
            return Type.EXPORT_NAME.number;
        }
    }

    /** The client gives up. */
    record Abort() implements NbdOption {
        @Override
        public int number() {
            return Type.ABORT.number;
        }
    }

    /** Which exports are there? */
    record ListExports() implements NbdOption {
        @Override
        public int number() {
            return Type.LIST.number;
        }
    }

    /** After the acknowledgement the connection speaks TLS. */
    record StartTls() implements NbdOption {
        @Override
        public int number() {
            return Type.STARTTLS.number;
        }
    }

    /**
     * What is this export like?
     *
     * @param requests kinds of information, see {@link InfoType}; unknown ones are ignored
     */
    record Info(String export, List<Integer> requests) implements NbdOption {
        public Info {
            requests = requireRequests("INFO", export, requests);
        }

        @Override
        public int number() {
            return Type.INFO.number;
        }
    }

    /** As {@link Info}, and if there is no error transmission follows. */
    record Go(String export, List<Integer> requests) implements NbdOption {
        public Go {
            requests = requireRequests("GO", export, requests);
        }

        @Override
        public int number() {
            return Type.GO.number;
        }
    }

    /** Replies may come in chunks. */
    record StructuredReply() implements NbdOption {
        @Override
        public int number() {
            return Type.STRUCTURED_REPLY.number;
        }
    }

    /**
     * Which metadata contexts are there?
     *
     * @param queries none: all
     */
    record ListMetaContext(String export, List<String> queries) implements NbdOption {
        public ListMetaContext {
            queries = requireQueries("LIST_META_CONTEXT", export, queries);
        }

        @Override
        public int number() {
            return Type.LIST_META_CONTEXT.number;
        }
    }

    /** Chooses the metadata contexts that block status will tell of. */
    record SetMetaContext(String export, List<String> queries) implements NbdOption {
        public SetMetaContext {
            queries = requireQueries("SET_META_CONTEXT", export, queries);
        }

        @Override
        public int number() {
            return Type.SET_META_CONTEXT.number;
        }
    }

    /** An option that this codec has no record for; it is answered as unsupported. */
    record UnknownOption(int number, Bytes data) implements NbdOption {
        public UnknownOption {
            for (Type type : Type.values()) {
                NbdMessage.require(
                        number != type.number, "option", "one that is not known", number);
            }
            NbdMessage.require(
                    data.size() <= NbdMessage.OPTION_BYTES_MAX,
                    "option data",
                    "at most " + NbdMessage.OPTION_BYTES_MAX + " bytes",
                    data.size());
        }
    }

    private static List<Integer> requireRequests(
            String option, String export, List<Integer> requests) {
        NbdMessage.requireText(option + " export", export);
        NbdMessage.require(
                requests.size() <= NbdMessage.QUERIES_MAX,
                option + " requests",
                "at most " + NbdMessage.QUERIES_MAX,
                requests.size());
        for (int request : requests) {
            NbdMessage.require(
                    request >= 0 && request <= 0xFFFF, option + " request", "0..65535", request);
        }
        return List.copyOf(requests);
    }

    private static List<String> requireQueries(String option, String export, List<String> queries) {
        NbdMessage.requireText(option + " export", export);
        NbdMessage.require(
                queries.size() <= NbdMessage.QUERIES_MAX,
                option + " queries",
                "at most " + NbdMessage.QUERIES_MAX,
                queries.size());
        for (String query : queries) {
            NbdMessage.requireText(option + " query", query);
        }
        return List.copyOf(queries);
    }
}
