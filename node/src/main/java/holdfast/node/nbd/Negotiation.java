package holdfast.node.nbd;

import holdfast.wire.ProtocolException;
import holdfast.wire.nbd.HandshakeCodec;
import holdfast.wire.nbd.InfoType;
import holdfast.wire.nbd.NbdMessage;
import holdfast.wire.nbd.NbdMessage.ClientFlags;
import holdfast.wire.nbd.NbdMessage.ExportReply;
import holdfast.wire.nbd.NbdMessage.Greeting;
import holdfast.wire.nbd.NbdMessage.Padding;
import holdfast.wire.nbd.NbdOption;
import holdfast.wire.nbd.NbdOptionReply;
import holdfast.wire.nbd.NbdOptionReply.Refusal;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/** The handshake with one client. */
final class Negotiation {
    /** The one metadata context there is. */
    static final String ALLOCATION = "base:allocation";

    /** The number that it has in block status replies. */
    static final long ALLOCATION_ID = 1;

    /** Options of one client, at most. */
    private static final int OPTIONS_MAX = 1024;

    /** How a handshake ends. */
    sealed interface Outcome {
        /** Requests for an export follow. */
        record Transmit(ServedExport served, Replies replies, Metadata metadata)
                implements Outcome {}

        /** The client has left in order. */
        record Left() implements Outcome {}
    }

    /** Whether block status can be asked for. */
    enum Metadata {
        NONE,
        ALLOCATION
    }

    private final NbdStream stream;
    private final Supplier<List<ServedExport>> exports;
    private final Optional<NbdTls> tls;
    private boolean secure;
    private Padding padding = Padding.ZEROES;
    private Replies replies = Replies.SIMPLE;
    private Optional<String> allocationOf = Optional.empty();

    /**
     * @param exports those there are now, in a steady order
     * @param tls present: nothing is granted without it
     */
    Negotiation(NbdStream stream, Supplier<List<ServedExport>> exports, Optional<NbdTls> tls) {
        this.stream = stream;
        this.exports = exports;
        this.tls = tls;
    }

    /**
     * @throws ProtocolException if the client speaks something else, or never comes to an end
     */
    Outcome run() throws IOException {
        HandshakeCodec.encode(new Greeting(Padding.NONE), stream.out());
        stream.need(HandshakeCodec.CLIENT_FLAGS_BYTES, "client flags");
        ClientFlags flags = HandshakeCodec.decodeClientFlags(stream.in(), stream.offset());
        padding = flags.padding();
        for (int i = 0; i < OPTIONS_MAX; i++) {
            Optional<Outcome> outcome = option();
            if (outcome.isPresent()) {
                stream.flush();
                return outcome.get();
            }
        }
        throw new ProtocolException(
                "nbd", stream.offset(), "options", "at most " + OPTIONS_MAX, "more");
    }

    private Optional<Outcome> option() throws IOException {
        stream.need(HandshakeCodec.OPTION_HEADER_BYTES, "option header");
        HandshakeCodec.OptionHeader header =
                HandshakeCodec.decodeOptionHeader(stream.in(), stream.offset());
        stream.need(header.bodyBytes(), "option");
        NbdOption option;
        try {
            option = HandshakeCodec.decodeOption(header, stream.in());
        } catch (ProtocolException e) {
            if (header.option() == NbdOption.Type.EXPORT_NAME.number()) {
                throw e;
            }
            return refuse(header.option(), Refusal.ERR_INVALID, e.getMessage());
        }
        if (tls.isPresent() && !secure) {
            return insecure(option, tls.get());
        }
        return granted(option);
    }

    /** Before TLS, where TLS is demanded. */
    private Optional<Outcome> insecure(NbdOption option, NbdTls demanded) throws IOException {
        return switch (option) {
            case NbdOption.StartTls _ -> {
                acknowledge(option);
                stream.startTls(demanded);
                secure = true;
                replies = Replies.SIMPLE;
                allocationOf = Optional.empty();
                yield Optional.empty();
            }
            case NbdOption.Abort _ -> left(option);
            case NbdOption.ExportName(String name) ->
                    throw new ProtocolException(
                            "nbd", stream.offset(), "EXPORT_NAME " + name, "TLS before it", "none");
            case NbdOption.ListExports _,
                    NbdOption.Info _,
                    NbdOption.Go _,
                    NbdOption.StructuredReply _,
                    NbdOption.ListMetaContext _,
                    NbdOption.SetMetaContext _,
                    NbdOption.UnknownOption _ ->
                    refuse(
                            option.number(),
                            Refusal.ERR_TLS_REQD,
                            "this server wants TLS: send STARTTLS first");
        };
    }

    private Optional<Outcome> granted(NbdOption option) throws IOException {
        return switch (option) {
            case NbdOption.ExportName(String name) -> exportName(name);
            case NbdOption.Abort _ -> left(option);
            case NbdOption.ListExports _ -> {
                for (ServedExport served : exports.get()) {
                    reply(
                            new NbdOptionReply.Server(
                                    served.export.name(), served.export.description()));
                }
                yield acknowledge(option);
            }
            case NbdOption.StartTls _ ->
                    secure
                            ? refuse(option.number(), Refusal.ERR_INVALID, "this is TLS already")
                            : refuse(
                                    option.number(),
                                    Refusal.ERR_UNSUP,
                                    "this server has no certificate: connect without TLS");
            case NbdOption.Info(String name, List<Integer> requests) ->
                    information(option, name, requests).isPresent()
                            ? acknowledge(option)
                            : Optional.empty();
            case NbdOption.Go(String name, List<Integer> requests) -> {
                Optional<ServedExport> served = information(option, name, requests);
                if (served.isPresent()) {
                    acknowledge(option);
                }
                yield served.map(this::transmit);
            }
            case NbdOption.StructuredReply _ -> {
                replies = Replies.STRUCTURED;
                yield acknowledge(option);
            }
            case NbdOption.ListMetaContext(String name, List<String> queries) ->
                    contexts(
                            option,
                            name,
                            queries.isEmpty()
                                    || queries.contains("base:")
                                    || queries.contains(ALLOCATION),
                            0);
            case NbdOption.SetMetaContext(String name, List<String> queries) -> {
                allocationOf = Optional.empty();
                boolean chosen = queries.contains(ALLOCATION);
                if (chosen && replies == Replies.STRUCTURED) {
                    allocationOf = find(name).map(served -> served.export.name());
                }
                yield contexts(option, name, chosen, ALLOCATION_ID);
            }
            case NbdOption.UnknownOption _ ->
                    refuse(
                            option.number(),
                            Refusal.ERR_UNSUP,
                            "option "
                                    + Integer.toUnsignedString(option.number())
                                    + " is not known here");
        };
    }

    private Optional<Outcome> left(NbdOption option) throws IOException {
        acknowledge(option);
        return Optional.of(new Outcome.Left());
    }

    private Optional<Outcome> exportName(String name) throws IOException {
        ServedExport served =
                find(name)
                        .orElseThrow(
                                () ->
                                        new ProtocolException(
                                                "nbd",
                                                stream.offset(),
                                                "EXPORT_NAME",
                                                "an export of this server",
                                                "\"" + name + "\""));
        ExportReply reply =
                new ExportReply(served.export.sizeBytes(), served.flags(replies), padding);
        HandshakeCodec.encode(reply, stream.out());
        return Optional.of(transmit(served));
    }

    private Outcome transmit(ServedExport served) {
        // A choice of contexts counts for the export it was made for.
        Metadata metadata =
                allocationOf.filter(served.export.name()::equals).isPresent()
                        ? Metadata.ALLOCATION
                        : Metadata.NONE;
        return new Outcome.Transmit(served, replies, metadata);
    }

    /** The empty name is the only export there is, where there is only one. */
    private Optional<ServedExport> find(String name) {
        List<ServedExport> all = exports.get();
        if (name.isEmpty() && all.size() == 1) {
            return Optional.of(all.getFirst());
        }
        return all.stream().filter(served -> served.export.name().equals(name)).findFirst();
    }

    private Optional<ServedExport> findOrRefuse(NbdOption option, String name) throws IOException {
        Optional<ServedExport> served = find(name);
        if (served.isEmpty()) {
            refuse(option.number(), Refusal.ERR_UNKNOWN, "no export \"" + name + "\" here");
        }
        return served;
    }

    private Optional<ServedExport> information(
            NbdOption option, String name, List<Integer> requests) throws IOException {
        Optional<ServedExport> found = findOrRefuse(option, name);
        if (found.isEmpty()) {
            return found;
        }
        NbdExport export = found.get().export;
        int number = option.number();
        reply(
                new NbdOptionReply.InfoExport(
                        number, export.sizeBytes(), found.get().flags(replies)));
        if (requests.contains(InfoType.NAME.number())) {
            reply(new NbdOptionReply.InfoName(number, export.name()));
        }
        if (requests.contains(InfoType.DESCRIPTION.number()) && !export.description().isEmpty()) {
            reply(new NbdOptionReply.InfoDescription(number, export.description()));
        }
        BlockSizes sizes = export.blockSizes();
        reply(
                new NbdOptionReply.InfoBlockSize(
                        number,
                        sizes.minimumBytes(),
                        sizes.preferredBytes(),
                        sizes.maximumBytes()));
        return found;
    }

    private Optional<Outcome> contexts(NbdOption option, String name, boolean named, long id)
            throws IOException {
        switch (replies) {
            case SIMPLE -> {
                return refuse(
                        option.number(),
                        Refusal.ERR_INVALID,
                        "metadata contexts need structured replies: send STRUCTURED_REPLY first");
            }
            case STRUCTURED -> {}
        }
        if (findOrRefuse(option, name).isEmpty()) {
            return Optional.empty();
        }
        if (named) {
            reply(new NbdOptionReply.MetaContext(option.number(), id, ALLOCATION));
        }
        return acknowledge(option);
    }

    private Optional<Outcome> acknowledge(NbdOption option) throws IOException {
        reply(new NbdOptionReply.Ack(option.number()));
        return Optional.empty();
    }

    private Optional<Outcome> refuse(int option, Refusal refusal, String text) throws IOException {
        reply(new NbdOptionReply.Refused(option, refusal, NbdMessage.clip(text)));
        return Optional.empty();
    }

    private void reply(NbdOptionReply reply) throws IOException {
        stream.room(HandshakeCodec.REPLY_HEADER_BYTES + 4 + 2 * NbdMessage.STRING_BYTES_MAX);
        HandshakeCodec.encode(reply, stream.out());
    }
}
