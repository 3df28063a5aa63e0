package holdfast.node.link;

import holdfast.engine.memory.CheckpointDigest;
import holdfast.engine.migrate.Cookies;
import holdfast.engine.migrate.DestinationEvent;
import holdfast.engine.migrate.SourceEvent;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkCodec;
import holdfast.wire.link.LinkMessage;

import java.nio.ByteBuffer;
import java.util.List;

/** What the frames of a migration mean to its sessions. */
public final class MigrationFrames {
    private MigrationFrames() {}

    /**
     * What a destination said, to the source.
     *
     * @throws ProtocolException if a destination says no such thing
     */
    public static SourceEvent ofDestination(LinkMessage message, String node) {
        return switch (message) {
            case LinkMessage.MigrationPrepared(var cookie) ->
                    new SourceEvent.PeerPrepared(
                            CookieJson.read("Prepare", cookie, Cookies.Prepared.class));
            case LinkMessage.MigrationFinished(var cookie) ->
                    new SourceEvent.PeerFinished(
                            CookieJson.read("Finish", cookie, Cookies.Finished.class));
            case LinkMessage.TakenOver(var cookie) ->
                    new SourceEvent.PeerTookOver(
                            CookieJson.read("Confirm", cookie, Cookies.TakenOver.class)
                                    .generation(),
                            "the guest runs on node " + node);
            case LinkMessage.RolledBack(var cookie) ->
                    new SourceEvent.PeerRolledBack(
                            CookieJson.read("Rollback", cookie, Cookies.RolledBack.class));
            case LinkMessage other -> throw unexpected("a destination", other);
        };
    }

    /**
     * What a source said, to the destination.
     *
     * @throws ProtocolException if a source says no such thing
     */
    public static DestinationEvent ofSource(LinkMessage message) {
        return switch (message) {
            case LinkMessage.MigrationPerformed(var streams, var cookie) ->
                    new DestinationEvent.SourcePerformed(
                            streams.stream().map(MigrationFrames::digest).toList(),
                            CookieJson.read("Perform", cookie, Cookies.Performed.class));
            case LinkMessage.HandOver(long generation) ->
                    new DestinationEvent.SourceHandedOver(generation);
            case LinkMessage.CancelMigration(String reason) ->
                    new DestinationEvent.SourceCancelled(reason);
            case LinkMessage other -> throw unexpected("a source", other);
        };
    }

    public static LinkMessage performed(List<CheckpointDigest> streams, Cookies.Performed cookie) {
        return new LinkMessage.MigrationPerformed(
                streams.stream()
                        .map(
                                digest ->
                                        new LinkMessage.StreamDigest(
                                                digest.streamBytes(), digest.crc32c()))
                        .toList(),
                CookieJson.write(cookie));
    }

    private static CheckpointDigest digest(LinkMessage.StreamDigest stream) {
        return new CheckpointDigest(stream.streamBytes(), stream.crc32c());
    }

    /** The message as the other side decodes it. */
    public static LinkMessage travelled(LinkMessage message) {
        ByteBuffer frame = LinkCodec.encode(message);
        LinkCodec.Header header = LinkCodec.decodeHeader(frame, 0);
        return LinkCodec.decodeBody(header, frame);
    }

    private static ProtocolException unexpected(String who, LinkMessage message) {
        return new ProtocolException(
                "migration",
                ProtocolException.OFFSET_UNKNOWN,
                "message",
                "one that " + who + " sends",
                Handshake.name(message));
    }
}
