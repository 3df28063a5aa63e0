package holdfast.engine.memory;

import holdfast.engine.port.GuestMemory;
import holdfast.wire.ProtocolException;
import holdfast.wire.xen.ReaderOptions;
import holdfast.wire.xen.StreamEvent;
import holdfast.wire.xen.StreamStart;
import holdfast.wire.xen.XenStreamReader;
import holdfast.wire.xen.XlFileHeader;

import java.io.IOException;
import java.nio.channels.ReadableByteChannel;

/**
 * A saved domain that is being read: xl's header with the description as JSON, then what a {@link
 * PageReceiver} takes in, without Holdfast's own records. Used by one thread.
 */
public final class SavedStream implements AutoCloseable {
    private final String name;
    private final TalliedInput tallied;
    private final XenStreamReader reader;
    private final String configJson;

    /**
     * Reads the header.
     *
     * @param name how messages name the stream
     * @param in the stream from its begin; the caller closes it
     * @throws ProtocolException with offset and rule, where this is no saved domain
     */
    public SavedStream(String name, ReadableByteChannel in) throws IOException {
        this.name = name;
        this.tallied = new TalliedInput(in);
        this.reader = XenStreamReader.of(tallied, StreamStart.XL_FILE, ReaderOptions.PLAIN);
        try {
            if (!(reader.next() instanceof StreamEvent.XlFile(XlFileHeader header))) {
                throw new IllegalStateException("the reader began elsewhere");
            }
            this.configJson =
                    header.configJson()
                            .orElseThrow(
                                    () ->
                                            new ProtocolException(
                                                    name,
                                                    reader.eventOffset(),
                                                    "xl header",
                                                    "the domain's description",
                                                    "none"));
        } catch (IOException | RuntimeException e) {
            reader.close();
            throw e;
        }
    }

    /** The description that was saved with the domain. */
    public String configJson() {
        return configJson;
    }

    /**
     * Takes in everything else; once. Closed before this is.
     *
     * @param memory zero-filled
     */
    public PageReceiver into(GuestMemory memory) {
        return new PageReceiver(name, memory, tallied, reader);
    }

    @Override
    public void close() {
        reader.close();
    }
}
