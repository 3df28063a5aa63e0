package holdfast.cli.receive;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import holdfast.cli.receive.ImageFile.ImageException;
import holdfast.engine.xlmigrate.ReceiverEffect;
import holdfast.engine.xlmigrate.ReceiverEvent;
import holdfast.engine.xlmigrate.ReceiverMachine;
import holdfast.engine.xlmigrate.ReceiverMode;
import holdfast.engine.xlmigrate.ReceiverOutcome;
import holdfast.engine.xlmigrate.ReceiverState;
import holdfast.wire.ProtocolException;
import holdfast.wire.TruncatedStreamException;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamDeviation;
import holdfast.wire.xen.StreamRule;
import holdfast.wire.xen.StreamVerdict;
import holdfast.wire.xen.StreamVerifier;
import holdfast.wire.xen.StreamWatcher;
import holdfast.wire.xen.XlMessageCodec;
import holdfast.wire.xen.XlToReceiver;
import holdfast.wire.xen.XlToSender;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * One conversation with a sender: performs the effects of {@link ReceiverMachine} and tells it what
 * came of them. One thread, the caller's.
 */
final class ReceiverSession {
    /** The sender sent what is not allowed, or too much of it. */
    private static final class ViolationException extends IOException {
        private ViolationException(String message) {
            super(message);
        }
    }

    /** The machine has left the state in which the stream is received. */
    private static final class NoLongerReceivingException extends IOException {
        private NoLongerReceivingException() {
            super("no longer receiving");
        }
    }

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int CONFIGURATION_OFFSET = 52;

    private final SenderInput in;
    private final PrintStream out;
    private final ImageFile image;
    private final long bytesMax;
    private final Receiver.Listener listener;
    private ReceiverState state;
    private Optional<String> domain = Optional.empty();
    private Optional<StreamDeviation> deviation = Optional.empty();
    private long streamEnd;
    private byte[] readAhead = {};

    /**
     * @param out what the sender reads, and nothing but the handshake is written to
     * @param bytesMax longest stream that is taken
     */
    ReceiverSession(
            SenderInput in,
            PrintStream out,
            ImageFile image,
            long bytesMax,
            Receiver.Listener listener) {
        this.in = in;
        this.out = out;
        this.image = image;
        this.bytesMax = bytesMax;
        this.listener = listener;
    }

    /** The domain's name in the configuration that came, if one did. */
    Optional<String> domain() {
        return domain;
    }

    /** The rule that the stream broke, if it did. */
    Optional<StreamDeviation> deviation() {
        return deviation;
    }

    ReceiverOutcome run(ReceiverMode mode) {
        install(ReceiverMachine.start(mode));
        if (state instanceof ReceiverState.Ended(ReceiverOutcome outcome)) {
            return outcome;
        }
        throw new IllegalStateException("nothing more to do in " + state);
    }

    private void fire(ReceiverEvent event) {
        install(ReceiverMachine.step(state, event));
    }

    private void install(ReceiverMachine.Step step) {
        state = step.state();
        for (ReceiverEffect effect : step.effects()) {
            perform(effect);
        }
    }

    private void perform(ReceiverEffect effect) {
        switch (effect) {
            case ReceiverEffect.Send(XlToSender message) -> send(message);
            case ReceiverEffect.ReceiveStream _ -> {
                if (!ended()) {
                    receiveStream();
                }
            }
            case ReceiverEffect.AwaitPermission _ -> {
                if (!ended()) {
                    awaitPermission();
                }
            }
            case ReceiverEffect.SecureImage(long bytes) -> {
                ReceiverEvent event;
                try {
                    image.secure(bytes);
                    event = new ReceiverEvent.ImageSecured();
                } catch (ImageException e) {
                    event = new ReceiverEvent.ImageFailed(e.getMessage());
                }
                fire(event);
            }
            case ReceiverEffect.PublishImage _ -> {
                ReceiverEvent event;
                try {
                    image.publish();
                    event = new ReceiverEvent.ImagePublished();
                } catch (ImageException e) {
                    event = new ReceiverEvent.ImageFailed(e.getMessage());
                }
                fire(event);
            }
            case ReceiverEffect.DiscardImage _ -> {
                try {
                    image.discard();
                } catch (ImageException e) {
                    listener.leftBehind(e.getMessage());
                }
            }
        }
    }

    /** A message that could not be sent has ended it: what would be waited for does not come. */
    private boolean ended() {
        return state instanceof ReceiverState.Ended;
    }

    private void send(XlToSender message) {
        ByteBuffer octets = ByteBuffer.allocate(XlMessageCodec.MESSAGE_BYTES_MAX);
        XlMessageCodec.encode(message, octets);
        out.write(octets.array(), 0, octets.position());
        if (out.checkError() && !ended()) {
            fire(
                    new ReceiverEvent.SenderUnreachable(
                            "cannot write to the sender: "
                                    + message.getClass().getSimpleName()
                                    + " did not get through"));
        }
    }

    private void receiveStream() {
        ReceiverEvent event;
        try {
            StreamVerdict verdict =
                    StreamVerifier.verifyArriving(new Copy(), ReaderOptions.PLAIN, new Watcher());
            event = ending(verdict);
        } catch (NoLongerReceivingException e) {
            return;
        } catch (ImageException e) {
            event = new ReceiverEvent.ImageFailed(e.getMessage());
        } catch (IOException e) {
            event = refusal(e);
        }
        fire(event);
    }

    private ReceiverEvent ending(StreamVerdict verdict) throws ImageException {
        deviation = verdict.deviation();
        if (deviation.isPresent()) {
            String reason = deviation.get().toString();
            return deviation.get().rule() == StreamRule.TRUNCATED
                    ? new ReceiverEvent.SenderGone(reason)
                    : new ReceiverEvent.SenderViolated(reason);
        }
        if (streamEnd == 0) {
            return new ReceiverEvent.SenderGone(
                    "the stream ended behind checkpoint "
                            + verdict.checkpoints()
                            + ", at offset "
                            + verdict.bytes());
        }
        readAhead = image.tail(streamEnd);
        return new ReceiverEvent.StreamComplete(streamEnd);
    }

    private static ReceiverEvent refusal(IOException e) {
        return switch (e) {
            case ViolationException violation ->
                    new ReceiverEvent.SenderViolated(violation.getMessage());
            case SenderInput.SilentException silent ->
                    new ReceiverEvent.SenderSilent(silent.getMessage());
            case SenderInput.StoppedException stopped ->
                    new ReceiverEvent.Stopped(stopped.getMessage());
            default -> new ReceiverEvent.SenderUnreachable("cannot read from the sender: " + e);
        };
    }

    private void awaitPermission() {
        ReceiverEvent event;
        try {
            event =
                    switch (readMessage()) {
                        case XlToReceiver.DomainIsYours _ -> new ReceiverEvent.PermissionReceived();
                    };
        } catch (TruncatedStreamException e) {
            event = new ReceiverEvent.SenderGone(e.getMessage());
        } catch (ProtocolException e) {
            event = new ReceiverEvent.SenderViolated(e.getMessage());
        } catch (IOException e) {
            event = refusal(e);
        }
        fire(event);
    }

    /** A wrong byte is refused as soon as it is there, not when as many are as a right one has. */
    private XlToReceiver readMessage() throws IOException {
        byte[] octets = new byte[XlMessageCodec.toReceiverBytes()];
        int have = Math.min(readAhead.length, octets.length);
        System.arraycopy(readAhead, 0, octets, 0, have);
        while (true) {
            try {
                return XlMessageCodec.decodeToReceiver(ByteBuffer.wrap(octets, 0, have), streamEnd);
            } catch (TruncatedStreamException incomplete) {
                int read = in.read(octets, have, octets.length - have);
                if (read < 0) {
                    throw incomplete;
                }
                have += read;
            }
        }
    }

    /** Writes to the image what the verifier reads. */
    private final class Copy extends InputStream {
        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
        }

        @Override
        public int read(byte[] target, int offset, int length) throws IOException {
            // All that was read before is consumed, so that the stream itself is longer.
            checkLength(image.bytes());
            int read = in.read(target, offset, length);
            if (read > 0) {
                image.append(target, offset, read);
                listener.received(image.bytes());
            }
            return read;
        }
    }

    private void checkLength(long streamBytes) throws ViolationException {
        if (streamBytes > bytesMax) {
            throw new ViolationException(
                    "the stream is longer than the " + bytesMax + " bytes that --max-bytes allows");
        }
    }

    private final class Watcher implements StreamWatcher {
        @Override
        public void configuration(byte[] text) throws IOException {
            try {
                JsonNode tree = JSON.readTree(new String(text, StandardCharsets.UTF_8));
                if (!tree.isObject()) {
                    throw noJson(tree.getNodeType().toString());
                }
                domain =
                        Optional.ofNullable(tree.path("c_info").path("name").textValue())
                                .filter(name -> !name.isEmpty());
            } catch (JsonProcessingException e) {
                // Jackson's words quote what the sender sent.
                throw noJson(
                        e.getLocation() == null
                                ? "something else"
                                : "something else at its line "
                                        + e.getLocation().getLineNr()
                                        + ", column "
                                        + e.getLocation().getColumnNr());
            }
        }

        private ViolationException noJson(String found) {
            return new ViolationException(
                    StreamRule.XL_CONFIGURATION
                            + " at offset "
                            + CONFIGURATION_OFFSET
                            + " in xl configuration: expected a JSON object, found "
                            + found);
        }

        @Override
        public void checkpointComplete(long checkpoints, long endOffset) throws IOException {
            checkLength(endOffset);
            fire(new ReceiverEvent.CheckpointComplete(checkpoints, endOffset));
            if (ended()) {
                throw new NoLongerReceivingException();
            }
            listener.checkpoint(checkpoints, endOffset);
        }

        @Override
        public void streamComplete(long endOffset) throws IOException {
            checkLength(endOffset);
            streamEnd = endOffset;
        }
    }
}
