package holdfast.node;

import holdfast.engine.memory.PageReceiver;
import holdfast.engine.memory.SavedStream;
import holdfast.engine.port.GuestMemory;
import holdfast.node.api.Progress;
import holdfast.node.api.ProgressListener;
import holdfast.wire.ProtocolException;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.ReadableByteChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;

/**
 * A saved domain that is being read: xl's header with the description as JSON, a libxl stream of
 * pages, the device state, END. A page that comes again is what came last. Borrowed segments live
 * until it is closed.
 */
final class SavedDomain implements AutoCloseable {
    private static final long PROGRESS_BYTES = 16L << 20;

    private final Path file;
    private final FileChannel in;
    private final Told told;
    private final SavedStream stream;
    private Optional<PageReceiver> receiver = Optional.empty();

    /**
     * Opens the file and reads the description.
     *
     * @throws ProtocolException with offset and rule, where it is no saved domain
     */
    SavedDomain(Path file, ProgressListener progress) throws IOException {
        this.file = file;
        this.in = FileChannel.open(file, StandardOpenOption.READ);
        try {
            this.told = new Told(in, progress);
            this.stream = new SavedStream(file.toString(), told);
        } catch (IOException | RuntimeException e) {
            in.close();
            throw e;
        }
    }

    String specJson() {
        return stream.configJson();
    }

    /** Reads everything else; once. Pages go to {@code memory}, which is zero-filled. */
    void readInto(GuestMemory memory) throws IOException {
        PageReceiver pages = stream.into(memory);
        receiver = Optional.of(pages);
        switch (pages.next()) {
            case PageReceiver.Read.Whole _ -> {
                if (pages.base().isEmpty() || pages.sections().size() != 1) {
                    throw broken(pages, "device state 0 and 1", "an end without");
                }
            }
            case PageReceiver.Read.Base _, PageReceiver.Read.Sections _ ->
                    throw broken(pages, "an END", "a checkpoint");
            case PageReceiver.Read.Ended(String where) ->
                    throw broken(pages, "an END", "the end of the file " + where);
        }
    }

    MemorySegment base() {
        return receiver.flatMap(PageReceiver::base).orElseThrow();
    }

    MemorySegment sections() {
        return receiver.orElseThrow().sections().getFirst();
    }

    private ProtocolException broken(PageReceiver pages, String expected, String found) {
        return new ProtocolException(file.toString(), pages.offset(), "stream", expected, found);
    }

    @Override
    public void close() throws IOException {
        try (in;
                stream) {
            receiver.ifPresent(PageReceiver::close);
        }
    }

    /** The file, telling how far it is. */
    private static final class Told implements ReadableByteChannel {
        private final FileChannel in;
        private final ProgressListener progress;
        private final long total;
        private long done;
        private long told;

        Told(FileChannel in, ProgressListener progress) throws IOException {
            this.in = in;
            this.progress = progress;
            this.total = in.size();
        }

        @Override
        public int read(ByteBuffer target) throws IOException {
            int read = in.read(target);
            done += Math.max(0, read);
            if (done - told >= PROGRESS_BYTES) {
                told = done;
                progress.progress(new Progress("loading", 0, done, total, "reading memory"));
            }
            return read;
        }

        @Override
        public boolean isOpen() {
            return in.isOpen();
        }

        @Override
        public void close() throws IOException {
            in.close();
        }
    }
}
